#!/usr/bin/env python3
"""Two real PDFs, for tests/unit/test_readers.c: one by groff, one by cairo with Cyrillic letters of an embedded font. Needs groff and
cairocffi; run in this folder. Their bytes hold the day they were made."""
import subprocess

import cairocffi as cairo

MAN = b""".TH HERON 1
.SH NAME
heron \\- a bird at the pond
.SH DESCRIPTION
The heron waits for fish in the morning. It is efficient.
"""
with open("heron.pdf", "wb") as f:
    f.write(subprocess.run(["groff", "-man", "-Tpdf"], input=MAN, stdout=subprocess.PIPE, check=True).stdout)

s = cairo.PDFSurface("kestrel.pdf", 595, 842)
c = cairo.Context(s)
c.select_font_face("DejaVu Sans")
c.set_font_size(20)
c.move_to(50, 80)
c.show_text("Пустельга над лугом")
c.set_font_size(11)
for i, line in enumerate(["Пустельга зависает над лугом и высматривает полёвок.", "Кладка — четыре или пять яиц; насиживает самка.", "Ёлка, съезд, подъём: Ёё Ъъ Ыы Ээ."]):
    c.move_to(50, 120 + 18 * i)
    c.show_text(line)
c.show_page()
c.move_to(50, 80)
c.show_text("Вторая страница: fi ligature office, naïve café.")
c.show_page()
s.finish()
