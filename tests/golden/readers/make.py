#!/usr/bin/env python3
"""Small documents of every kind that a reader takes apart, whole and damaged. Made by hand; run in this folder."""
import base64
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

# What programs write in earnest (tests/reports.md): sentences that begin as an mbox parts letters, coded words cut inside a letter, a plain
# part that is empty, letters inside letters, names of files, no character set.
CUT = "Встреча перенесена на четверг".encode()
put("strange.mbox", b"""From ada@example.org Mon Jan  1 00:00:00 2024
From: ada@example.org
Subject: =?utf-8?B?%s?=
 =?utf-8?B?%s?=
Content-Type: multipart/alternative; boundary = "x y"

--x y
Content-Type: text/plain; charset=utf-8

 \xc2\xa0
--x y
Content-Type: text/html

<p>The invoice is due.</p>
--x y--

From the station it is two minutes.
Turn left then.

From - Tue Jan  2 00:00:00 2024
X-Mozilla-Status: 0001
Subject: =?koi8-r*ru?B?%s?=
Content-Type: multipart/mixed; boundary="y"

--y
Content-Type: message/rfc822
Content-Disposition: attachment

From: eve@example.org
Subject: the lease
Content-Type: text/plain; charset=koi8-r

%s
--y
Content-Type: application/pdf; name="=?utf-8?Q?=D0=B0?=.pdf"
Content-Disposition: attachment;
 filename*0*=utf-8''%%D0%%B4%%D0%%BE%%D0%%B3;
 filename*1*=%%D0%%BE%%D0%%B2%%D0%%BE%%D1%%80;
 filename*2=.pdf
Content-Transfer-Encoding: base64

AAAA
--y
Content-Type: image/png; name="logo.png"

AAAA
--y
Content-Type: text/plain; name="list.txt"
no empty line before these words
--y--

From 
X-Status: RO
Subject : newer

%s

From me: nothing more.
""" % (base64.b64encode(CUT[:13]), base64.b64encode(CUT[13:]), base64.b64encode("Отчёт".encode("koi8-r")), "Договор продлён.".encode("koi8-r"), "Привет, дорогой друг! Как дела?".encode("cp1251")))

put("excel.csv", "sep=;\r\nИмя;Цена;\r\nВорон;1,50;\r\n;;\r\n")
put("index.csv", ",name,phone,phone\n0,Ada,1,2\n")
put("years.csv", "Report, of May\n\nbird;2019;2020\nRaven;1,9;1,8\n")
put("born.csv", "Ada,1985\nBob,1990\n")
put("quoted.csv", '"Name, first, last"|"Place"\r"Ada, L."|"Riga"\r')
put("prose.csv", "comment\nHello, world\nBye\n")

BOX = "<w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent>"
NOTED = """<w:document %s xmlns:mc="m"><w:body><w:p><w:r><w:t>Herons eat fish</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r><w:r><w:t xml:space="preserve"> daily, well</w:t><w:noBreakHyphen/><w:t>fed.</w:t><w:endnoteReference w:id="2"/></w:r></w:p>
<w:p><w:r><w:t>anchor</w:t><mc:AlternateContent><mc:Choice>%s</mc:Choice><mc:Fallback>%s</mc:Fallback></mc:AlternateContent></w:r></w:p>
<w:moveFrom><w:p><w:r><w:t>moved</w:t></w:r></w:p></w:moveFrom><w:moveTo><w:p><w:r><w:t>moved</w:t></w:r></w:p></w:moveTo>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>bird</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>size</w:t><w:footnoteReference w:id="3"/></w:r></w:p></w:tc></w:tr><w:tr><w:tc><w:p/></w:tc><w:tc><w:p><w:r><w:t>64 cm</w:t></w:r></w:p></w:tc></w:tr><w:tr><w:tc><w:p/></w:tc><w:tc/></w:tr></w:tbl>
<w:p><w:r><w:t>last</w:t><w:footnoteReference w:id="9"/></w:r></w:p></w:body></w:document>""" % (W, BOX, BOX)
NOTES = """<w:%ss %s><w:%s w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:%s><w:%s w:id="2"><w:p><w:r><w:t xml:space="preserve"> %s of carp</w:t></w:r></w:p><w:p><w:r><w:t>and tench</w:t></w:r></w:p></w:%s><w:%s w:id="3"><w:p><w:r><w:t>in centimetres</w:t></w:r></w:p></w:%s></w:%ss>"""
pack("noted.docx", [("word/document.xml", NOTED)] + [("word/%ss.xml" % k, NOTES % (k, W, k, k, k, k, k, k, k, k)) for k in ("footnote", "endnote")])
NOTED = """<office:document-content xmlns:office="o" xmlns:text="t" xmlns:draw="d" xmlns:table="b"><office:body><office:text><draw:frame><draw:text-box><text:p>on the page</text:p></draw:text-box></draw:frame>
<text:p>Herons<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>A note on carp.</text:p></text:note-body></text:note> eat fish.</text:p>
<text:p>anchor<draw:frame><draw:text-box><text:h text:outline-level="2">Boxed</text:h><text:p>in a box</text:p></draw:text-box></draw:frame>after</text:p>
<table:table><table:table-row><table:table-cell/><table:table-cell><text:p>x<text:note><text:note-citation>2</text:note-citation><text:note-body><text:p>second</text:p></text:note-body></text:note></text:p></table:table-cell></table:table-row></table:table></office:text></office:body></office:document-content>"""
pack("noted.odt", [("mimetype", "application/vnd.oasis.opendocument.text"), ("content.xml", NOTED)])
