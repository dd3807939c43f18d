#!/usr/bin/python3
"""What is taken for the text of a mail, for a duplicate and for a near duplicate, and how mails are split."""

import base64
import unittest

import numpy as np

from corpus import Mail, held_out, near_duplicate_groups, without_duplicates
from mail_text import mail_text

HEAD = b"From a@b.example Thu Aug 22 15:25:29 2002\nReceived: from relay.example\nSubject: Re: [List] Lunch\n"
MULTIPART = b"""%sContent-Type: multipart/mixed; boundary=cut

--cut
Content-Type: text/html

<p>in markup</p>
--cut
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9
--cut
Content-Type: text/plain
Content-Disposition: attachment; filename=a.txt

attached
--cut--
"""

TEXTS = [
    ("header fields but the subject", HEAD + b"\nat noon\n", "Lunch at noon"),
    ("no subject", b"To: a@b.example\n\nat noon\n", "at noon"),
    ("no body", HEAD, "Lunch"),
    ("encoded subject", b"Subject: =?iso-8859-1?Q?caf=E9?= =?utf-8?B?w6k=?=\n\nx", "caféé x"),
    ("raw bytes in the subject", b"Subject: caf\xe9\n\nx", "café x"),
    ("CRLF", b"Subject: a\r\n\r\nb\r\n-- \r\nme\r\n", "a b"),
    (
        "a quote and who it is of",
        HEAD + b"\nOn Monday Ann wrote:\n> when?\nAB> and where?\nat noon\n",
        "Lunch at noon",
    ),
    ("a quote below", HEAD + b"\nyes\n----- Original Message -----\nwhen?\n", "Lunch yes"),
    ("a signature", HEAD + b"\nyes\n-- \nAnn\n", "Lunch yes"),
    ("a dash is no signature", HEAD + b"\nyes --\nor no\n", "Lunch yes -- or no"),
    (
        "a list's footer",
        HEAD + b"\nyes\n" + b"_" * 47 + b"\nLunch mailing list\nhttp://x.example\n",
        "Lunch yes",
    ),
    ("a rule is no footer", HEAD + b"\nyes\n" + b"_" * 47 + b"\nno\n", "Lunch yes " + "_" * 47 + " no"),
    ("a filter's report", HEAD + b"\nSPAM: ---- Start\nSPAM: 7 points\n\nat noon\n", "Lunch at noon"),
    (
        "addresses",
        HEAD + b"\nsee http://x.example/a?b www.x.example or <a@b.example> now\n",
        "Lunch see or now",
    ),
    ("character references", HEAD + b"\n&#8220;yes&#8221;\n", "Lunch “yes”"),
    ("an unknown charset", HEAD + b"Content-Type: text/plain; charset=none\n\nna\xefve\n", "Lunch naïve"),
    (
        "a wrong charset",
        HEAD + b"Content-Type: text/plain; charset=us-ascii\n\nna\xc3\xafve\n",
        "Lunch naïve",
    ),
    (
        "base64",
        HEAD + b"Content-Transfer-Encoding: base64\n\n" + base64.b64encode(b"at noon"),
        "Lunch at noon",
    ),
    ("plain text before HTML, and no files", MULTIPART % HEAD, "Lunch café"),
    (
        "HTML",
        HEAD
        + b"Content-Type: text/html\n\n<title>t</title>fr<b>ee</b><br>beer<script>x()</script> &amp; more",
        "Lunch free beer & more",
    ),
    ("HTML that says it is plain", HEAD + b"\n<HTML><BODY>free<p>beer</BODY>", "Lunch free beer"),
    ("broken HTML", HEAD + b"Content-Type: text/html\n\n<p>free<![x[y]]>", "Lunch free"),
]


class MailText(unittest.TestCase):
    def test_table(self) -> None:
        for name, raw, text in TEXTS:
            with self.subTest(name):
                self.assertEqual(mail_text(raw), text)


class Corpus(unittest.TestCase):
    def test_a_mail_is_spam_by_its_folder(self) -> None:
        self.assertTrue(Mail("spam-2/00001", "").is_spam)
        self.assertFalse(Mail("hard-ham-1/00001", "").is_spam)

    def test_only_words_tell_duplicates_apart(self) -> None:
        mails = [
            Mail("1", "Lunch at noon?"),
            Mail("2", "lunch, at NOON"),
            Mail("3", "Lunch at one?"),
            Mail("4", "..."),
        ]
        self.assertEqual([mail.name for mail in without_duplicates(mails)], ["1", "3"])

    def test_near_duplicates_are_joined_by_chains(self) -> None:
        words = [str(number) for number in range(40)]
        first, second, third = (" ".join(words[at : at + 20]) for at in (0, 10, 20))
        groups = near_duplicate_groups([first, "quite another text altogether", third, second])
        self.assertEqual(groups[0], groups[3])
        self.assertEqual(groups[3], groups[2])
        self.assertNotEqual(groups[0], groups[1])
        first_and_third_alone = near_duplicate_groups([first, third])
        self.assertNotEqual(*first_and_third_alone)

    def test_groups_are_held_out_whole(self) -> None:
        groups = np.array([0, 1, 2, 2, 2, 3, 4, 5, 5, 6] * 10) + np.repeat(np.arange(10), 10) * 7
        out = held_out(groups, seed=0)
        self.assertFalse(set(groups[out]) & set(groups[~out]))
        self.assertTrue(0.15 <= out.mean() <= 0.2)
        self.assertFalse(np.array_equal(out, held_out(groups, seed=1)))


if __name__ == "__main__":
    unittest.main()
