"""The text of a mail: what a person would have typed, and nothing that the mail system added.

The model meets short texts that people type, so it must not learn what only mail has. Whatever tells spam
from ham in this corpus alone is cut: all header fields but the subject, HTML markup, attachments, what a
reply quotes, signatures, the footers of mailing lists, and addresses and links (they name the few mailboxes
and lists that the mails were collected from).
"""

import email
import email.header
import email.message
import html
import html.parser
import re

REPLY_MARKS = re.compile(r"^\s*(?:(?:re|fw|fwd)(?:\[\d+\])?:\s*|\[[^\]]*\]\s*)+", re.IGNORECASE)

# Each of these ends the text of a mail: the signature mark (RFC 3676 §4.3), PGP's, the head of a mail that is
# quoted below, and the footers of Mailman, Yahoo! Groups, SourceForge and one list more.
END_OF_TEXT = re.compile(
    r"""^(?:
        --[ ]?$
      | -----BEGIN\ PGP\ SIGNATURE
      | -+\ ?Original\ Message\ ?-+
      | _{40,}\s*\n.*(?:mailing\ list|mailman)
      | -+\ ?Yahoo!\ Groups\ Sponsor
      | -{30,}\s*\nThis\ sf\.net\ email
      | --DeathToSpam
    )""",
    re.MULTILINE | re.IGNORECASE | re.VERBOSE,
)

# A quoted line, the line that announces it, the two that a bridge from news feeds to mail puts first, and the
# report that an older SpamAssassin put into the mail itself.
FOREIGN_LINES = re.compile(
    r"^(?:\s*\w{0,3}[>|}].*|.{2,120}(?:wrote|writes):\s*|(?:URL|Date|SPAM):.*)$", re.MULTILINE
)

# The last alternative is what the bridge leaves of a picture.
ADDRESSES = re.compile(r"(?:https?://|ftp://|www\.|mailto:)\S+|\S+@\S+|\[IMG:", re.IGNORECASE)

MARKUP = re.compile(r"<(?:html|body|font|br|p)\b", re.IGNORECASE)


def mail_text(raw: bytes) -> str:
    """Subject and body as one line of words separated by single spaces; may be empty. raw: RFC 5322."""
    mail = email.message_from_bytes(raw)
    subject = REPLY_MARKS.sub("", _subject(mail))
    body = _body(mail).replace("\r\n", "\n")
    end = END_OF_TEXT.search(body)
    if end:
        body = body[: end.start()]
    text = subject + "\n" + FOREIGN_LINES.sub("", body)
    return " ".join(ADDRESSES.sub(" ", text).split())


def _subject(mail: email.message.Message) -> str:
    parts = email.header.decode_header(mail.get("Subject", ""))
    return "".join(part if isinstance(part, str) else _decode(part, charset) for part, charset in parts)


def _body(mail: email.message.Message) -> str:
    """The plain text of a mail; the text of its HTML where it has no other. Attached files are left out."""
    plain, markup = [], []
    for part in mail.walk():
        if part.get_content_maintype() != "text" or part.get_filename():
            continue
        text = _decode(part.get_payload(decode=True) or b"", part.get_content_charset())
        is_markup = part.get_content_subtype() == "html" or MARKUP.search(text)
        (markup if is_markup else plain).append(text)
    body = "\n".join(plain)
    return html.unescape(body) if body.strip() else "\n".join(map(_text_of_html, markup))


def _decode(octets: bytes, charset: str | None) -> str:
    """By the declared charset if that fits, else UTF-8, else Latin-1, which fits everything."""
    for candidate in (charset or "utf-8", "utf-8"):
        try:
            return octets.decode(candidate)
        except (LookupError, UnicodeDecodeError):
            continue
    return octets.decode("latin-1")


class _HtmlText(html.parser.HTMLParser):
    INLINE = frozenset("a abbr b big em font i s small span strong sub sup tt u".split())
    UNSEEN = {"script", "style", "title"}

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.unseen: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.UNSEEN:
            self.unseen = tag
        elif tag not in self.INLINE:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == self.unseen:
            self.unseen = None

    def handle_data(self, data: str) -> None:
        if self.unseen is None:
            self.pieces.append(data)


def _text_of_html(markup: str) -> str:
    parser = _HtmlText()
    try:
        parser.feed(markup)
        parser.close()
    except AssertionError:  # html.parser on a malformed <![...]: what came before it is kept
        pass
    return "".join(parser.pieces)
