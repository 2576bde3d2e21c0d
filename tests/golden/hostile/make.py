#!/usr/bin/env python3
"""Documents and archives that mean harm, for tests/unit/test_held.c, which says of each what must come of it. Made by hand; run in this folder."""
import gzip
import io
import zipfile


def put(name, data):
    with open(name, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def packed(name, data):
    """Kept as NAME.gz (tests/packed.h)."""
    put(name + ".gz", gzip.compress(data if isinstance(data, bytes) else data.encode(), 9, mtime=0))


def pack(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for n, data in members:
            z.writestr(zipfile.ZipInfo(n, (2024, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def docx(name, xml):
    put(name, pack([("word/document.xml", xml)]))


def locked(data):
    """The same, its members said to be locked with a password."""
    b, at = bytearray(data), 0
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = b.find(mark)
        while at >= 0:
            b[at + flags] |= 1
            at = b.find(mark, at + 4)
    return bytes(b)


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
BODY = "<w:document %s><w:body><w:p><w:r><w:t>before %%s after</w:t></w:r></w:p></w:body></w:document>" % W
CHAT = '[{"uuid": "c1", "name": "birds", "chat_messages": [{"uuid": "m1", "sender": "human", "text": "what is a heron?", "created_at": "2024-01-01T00:00:00Z"}]}]'

# XXE: a file, an address, a DTD, a parameter entity.
docx("xxe-file.docx", '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + BODY % "&x;")
docx("xxe-net.docx", '<?xml version="1.0"?><!DOCTYPE d SYSTEM "http://127.0.0.1:9/d.dtd" [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>' + BODY % "&x;")
docx("xxe-parameter.docx", '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p; <!ENTITY x "inner">]>' + BODY % "&x;")
put("xxe.html", '<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><html><body><p>before &x; after</p></body></html>')
put("xxe.odt", pack([("content.xml", '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "/etc/passwd">]><o:d xmlns:o="o" xmlns:text="t"><text:p>before &x; after</text:p></o:d>')]))
# Billion laughs, and the same in an attribute, where entities are always replaced.
LAUGHS = '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a0 "lol">' + "".join('<!ENTITY a%d "%s">' % (i, ("&a%d;" % (i - 1)) * 10) for i in range(1, 10)) + "]>"
docx("laughs.docx", LAUGHS + BODY % "&a9;")
docx("laughs-attribute.docx", LAUGHS + '<w:document %s><w:body><w:p><w:pPr><w:pStyle w:val="&a9;"/></w:pPr><w:r><w:t>before after</w:t></w:r></w:p></w:body></w:document>' % W)
put("quadratic.odt", pack([("content.xml", '<!DOCTYPE d [<!ENTITY a "%s">]><d><p>before %s after</p></d>' % ("x" * 50000, "&a;" * 50000))]))
# Deep and wide.
docx("deep.docx", BODY % ("</w:t>" + "<w:x>" * 100000))
packed("deep.html", "<div>" * 60000 + "the bottom")
packed("wide.html", "<p " + " ".join("a%d=1" % i for i in range(20000)) + ">wide</p>")
put("odd.html", "<html>< p>a < b & c &amp d &#xZZ; &#99999999; &#0;<p attr='x>y' other=\"<b>\">tag</p><![CDATA[<raw>]]></>end<")
# Character sets that are not so, or are none.
put("says-koi8.html", '<html><head><meta charset="koi8-r"></head><body><p>Сокол завис.</p></body></html>')
put("says-nonsense.html", '<html><head><meta charset="x-no-such-set"></head><body><p>plain words</p></body></html>')
put("says-utf8.html", '<html><head><meta charset="utf-8"></head><body><p>Сокол завис над лугом и смотрит вниз, на траву.</p></body></html>'.encode("cp1251"))
docx("says-koi8.docx", '<?xml version="1.0" encoding="koi8-r"?>' + BODY % "сокол")
docx("says-nonsense.docx", '<?xml version="1.0" encoding="x-no-such-set"?>' + BODY % "words")
docx("utf16.docx", ('<?xml version="1.0" encoding="utf-16"?>' + BODY % "сокол").encode("utf-16"))
put("says-latin.epub", pack([("META-INF/container.xml", '<container><rootfiles><rootfile full-path="b.opf"/></rootfiles></container>'), ("b.opf", '<package><manifest><item id="a" href="a.html"/></manifest><spine><itemref idref="a"/></spine></package>'),
                             ("a.html", '<?xml version="1.0" encoding="windows-1251"?><html><body><p>Сокол завис.</p></body></html>'.encode("cp1251"))]))
# Archives.
put("locked.docx", locked(pack([("word/document.xml", BODY % "x")])))
put("locked.zip", locked(pack([("conversations.json", CHAT)])))
put("outside.zip", pack([("../../outside/conversations.json", CHAT), ("/etc/conversations.json", CHAT.replace('"c1"', '"c2"').replace('"m1"', '"m2"'))]))
put("outside.epub", pack([("META-INF/container.xml", '<container><rootfiles><rootfile full-path="../../../../etc/passwd"/></rootfiles></container>')]))
inner = pack([("conversations.json", CHAT)])
for i in range(5):
    inner = pack([("inner%d.zip" % i, inner), ("conversations.json.zip", inner)])
put("nested.zip", inner)
put("nested-name.zip", pack([("conversations.json", pack([("conversations.json", CHAT)]))]))
packed("bomb.zip", pack([("conversations.json", b"[" + b" " * (100 << 20))]))
packed("bomb-many.docx", pack([("word/media/%d.png" % i, b"\0" * (1 << 20)) for i in range(300)] + [("word/document.xml", BODY % "few words")]))
whole = pack([("conversations.json", CHAT), ("more.json", CHAT)])
put("cut.zip", whole[:len(whole) - 30])
put("cut-front.zip", b"PK\3\4" + whole[60:])
