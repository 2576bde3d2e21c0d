#!/usr/bin/env python3
"""Small documents of every kind that a reader takes apart, whole and damaged. Made by hand; run in this folder."""
import gzip
import os
import zipfile


def put(name, data):
    with open(name, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def pack(name, members):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as z:
        for n, data in members:
            z.writestr(zipfile.ZipInfo(n, (2024, 1, 1, 0, 0, 0)), data, zipfile.ZIP_STORED if n == "mimetype" else zipfile.ZIP_DEFLATED)


def packed(name, members):
    """Kept as NAME.gz (tests/packed.h)."""
    pack(name, members)
    with open(name, "rb") as f:
        put(name + ".gz", gzip.compress(f.read(), 9, mtime=0))
    os.remove(name)


PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>Birds &amp; beasts</title><style>p { color: red }</style>
<script>if (a < b && c > d) document.write("<p>not here</p>");</script></head><body>
<nav><ul><li>Home<li>About</ul><nav>inner</nav></nav>
<h1>Kestrels&nbsp;&mdash; &#x43f;&#1091;&#x441;&#1090;&#1077;&#x43b;&#x44c;&#1075;&#1072;</h1>
<p>They <b>hover</b> over
   meadows&hellip; &notathing; 5 &lt; 6 &#128;<br># no heading</p>
<!-- <p>a comment</p> --><ul><li>one<li>two &ldquo;quoted&rdquo;</ul>
<table><tr><th>bird<th>size<tr><td>raven<td>64 cm</table>
<h2 class="a>b">Below <i>it</i></h2><pre>int main(void)
{
    return 0;
}</pre><p>&copy; last <a href="x">link</a></p><noscript>no</noscript><svg><text>drawn</text></svg>
<p>unclosed <b>to the end"""
put("page.html", PAGE)
put("page-1251.htm", '<html><head><meta http-equiv="Content-Type" content="text/html; charset=windows-1251"></head><body><h2>Птицы</h2><p>Сокол «завис».</p></body></html>'.encode("cp1251"))
put("page-damaged.html", "<html><body><p>before</p><script>never closed <p>inside</p>")

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
STYLES = '<w:styles %s><w:style w:type="paragraph" w:styleId="1"><w:name w:val="heading 1"/></w:style><w:style w:styleId="a3"><w:name w:val="Title"/></w:style></w:styles>' % W
DOC = """<?xml version="1.0" encoding="UTF-8"?><w:document %s><w:body>
<w:p><w:pPr><w:pStyle w:val="1"/></w:pPr><w:r><w:t>Заголовок</w:t></w:r></w:p>
<w:p><w:r><w:t xml:space="preserve">Herons </w:t></w:r><w:r><w:t>eat &amp; fish.</w:t><w:br/><w:t>Second line</w:t></w:r><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>
<w:p><w:pPr><w:numPr><w:ilvl w:val="0"/></w:numPr></w:pPr><w:r><w:t>an item</w:t></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr><w:tr><w:tc><w:p><w:r><w:t>c</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
<w:p><w:pPr><w:pStyle w:val="Heading2"/></w:pPr><w:r><w:t>Below</w:t></w:r></w:p><w:p><w:r><w:t>last</w:t></w:r></w:p></w:body></w:document>""" % W
pack("text.docx", [("[Content_Types].xml", "<Types/>"), ("word/document.xml", DOC), ("word/styles.xml", STYLES)])
pack("cut.docx", [("word/document.xml", DOC[:len(DOC) // 2])])
whole = open("text.docx", "rb").read()
put("damaged.docx", whole[:300] + b"\0" * 40 + whole[340:])

ODT = """<?xml version="1.0"?><office:document-content xmlns:office="o" xmlns:text="t" xmlns:table="b"><office:automatic-styles><x>no</x></office:automatic-styles><office:body><office:text>
<text:h text:outline-level="2">Owls</text:h><text:p>They sleep<text:s text:c="3"/>in <text:span>trees</text:span>.<office:annotation><text:p>a remark</text:p></office:annotation><text:line-break/>By day.</text:p>
<text:list><text:list-item><text:p>first</text:p></text:list-item><text:list-item><text:p>second</text:p></text:list-item></text:list>
<table:table><table:table-row><table:table-cell><text:p>x</text:p></table:table-cell><table:table-cell><text:p>y</text:p></table:table-cell></table:table-row></table:table>
<text:p>Конец</text:p></office:text></office:body></office:document-content>"""
pack("text.odt", [("mimetype", "application/vnd.oasis.opendocument.text"), ("content.xml", ODT)])

OPF = """<package><manifest><item id="two" href="ch%202.xhtml" media-type="application/xhtml+xml"/><item id="one" href="../text/ch1.xhtml"/><item id="img" href="a.png"/></manifest>
<spine><itemref idref="one"/><itemref idref="missing"/><itemref idref="two"/></spine></package>"""
pack("book.epub", [("mimetype", "application/epub+zip"), ("META-INF/container.xml", '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'), ("OEBPS/book.opf", OPF),
                   ("text/ch1.xhtml", '<?xml version="1.0" encoding="utf-8"?><html><head><title>One</title></head><body><h1>First</h1><p>It begins.</p></body></html>'),
                   ("OEBPS/ch 2.xhtml", "<html><body><h1>Second</h1><p>И кончается.</p></body></html>"), ("OEBPS/unread.xhtml", "<p>not in the spine</p>")])
packed("bomb.docx", [("word/document.xml", "<w:t>" + "a" * (70 << 20))])
pack("other.zip", [("a.bin", "x"), ("readme.rst", "y")])

put("table.csv", 'name,size,"what, it says"\r\nRaven,64,"kra ""kra""\nkra"\r\nПустельга,35,\r\n,,\r\n')
put("numbers.csv", "1;2\n3;4\n")
put("plain.csv", "no table here\nat all\n")
put("cut.tsv", 'a\tb\n1\t"never closed\n2\t3\n')
put("data.json", '{"birds": [{"name": "Raven", "size": 64.5, "flies": true}, {"name": "Kiwi", "flies": false, "note": null}], "source": "a \\"book\\""}')
put("broken.json", '{"birds": [')
put("code.py", "import os\n\n\ndef f():\n    return 1\n")

MAIL = b"""From ada@example.org Mon Jan  1 00:00:00 2024
From: =?utf-8?B?0JDQtNCw?= <ada@example.org>
To: bob@example.org
Subject: =?koi8-r?Q?=F0=D4=C9=C3=D9?= =?utf-8?q?_and?=
 =?utf-8?Q?_beasts?=
Date: Mon, 1 Jan 2024 10:00:00 +0300
Content-Type: text/plain; charset=windows-1251
Content-Transfer-Encoding: quoted-printable

=D1=EE=EA=EE=EB =E7=E0=E2=E8=F1. A line that is =
one.
# no heading
>From here on it is quoted.

From the beginning this is text.

From bob@example.org Tue Jan  2 00:00:00 2024
from: bob@example.org
subject: Re: birds
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b1"

a preamble
--b1
Content-Type: multipart/alternative; boundary=b2

--b2
Content-Type: text/plain; charset=utf-8

plain words
--b2
Content-Type: text/html

<p>the same in HTML</p>
--b2--
--b1
Content-Type: image/png
Content-Transfer-Encoding: base64

AAAA
--b1
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: base64

PGgyPkNhZukgbm90ZTwvaDI+PHA+YiZhbXA7YzwvcD4=
--b1--
an epilogue

From nobody Wed Jan  3 00:00:00 2024
Content-Type: multipart/mixed; boundary="cut"

--cut
Content-Type: text/plain

cut off in the middle"""
put("letters.mbox", MAIL.replace(b"\nFrom the beginning", b"\n>From the beginning"))
put("letter.eml", b"Received: x\r\nFrom: a@b\r\nTo: c@d\r\nSubject: one letter\r\nDate: today\r\n\r\nFrom me to you.\r\n")
put("inbox", MAIL[:MAIL.index(b">From here")])
put("from.txt", "From the hill one sees the sea.\n")
nested = b"From: a@b\nDate: d\nSubject: deep\n"
for i in range(200):
    nested += b"Content-Type: multipart/mixed; boundary=d%d\n\n--d%d\n" % (i, i)
put("nested.eml", nested + b"\nnever seen\n")
