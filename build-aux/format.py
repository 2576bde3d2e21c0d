#!/usr/bin/env python3
"""make check's part "format": the sources look as they do: blanks, braces, the line that says what a file is. `.clang-format` describes the same for
editors; where clang-format is installed, it must leave most lines as they are, or it describes another code."""
import difflib
import glob
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "structure"))
import house
from csource import sources

WIDEST = 220                                   # lines are meant to have 120; tables and long sentences have more
LEFT_ALONE = .80                               # the share of lines that clang-format must not want to change
KEYWORD = re.compile(r"(?<![\w#])(if|for|while|switch)\(")
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def wrong(path, text):
    """Complaints about one file."""
    out = []
    bare = TOKENS.sub(lambda m: re.sub(r"[^\n]", "x", m.group(0)), text)
    for i, (line, code) in enumerate(zip(text.split("\n"), bare.split("\n")), 1):
        if "\t" in line:
            out.append("%s:%d: a tab" % (path, i))
        if line != line.rstrip():
            out.append("%s:%d: blanks at the end" % (path, i))
        if len(line) > WIDEST:
            out.append("%s:%d: %d columns" % (path, i, len(line)))
        if KEYWORD.search(code):
            out.append("%s:%d: %s( wants a blank" % (path, i, KEYWORD.search(code).group(1)))
        if re.match(r"\s*(if|for|while|switch|\} else if|[a-z].*\w\([^=]*)\b.*\)\{$", code) and "=" not in code.split("(")[0] and "return" not in code:
            out.append("%s:%d: ){ wants a blank" % (path, i))
    if not text.endswith("\n") or text.endswith("\n\n"):
        out.append("%s: ends in no or more than one line break" % path)
    if "\r" in text:
        out.append("%s: carriage returns" % path)
    if path[:1] != "/" and not re.match(r"(/\*|//) [\w/]+[\w{},/ *.-]*:", text):
        out.append("%s: its first line does not say what it is" % path)
    return out


files = sources()
complaints = []
for p in files + sorted(glob.glob("tests/**/*.[ch]", recursive=True)) + sorted(glob.glob("bench/*.c")):
    with open(p, encoding="utf-8", newline="") as f:
        complaints += [c for c in wrong(p, f.read()) if not (p.startswith(("tests/", "bench/")) and ("columns" in c or "first line" in c))]
house.result("sources_look_alike", complaints)
if shutil.which("clang-format"):
    sample = files[::12]                       # a dozenth: it takes its time
    same = total = 0
    for p in sample:
        a = open(p, encoding="utf-8").read().split("\n")
        b = subprocess.run(["clang-format", p], capture_output=True, text=True).stdout.split("\n")
        same += sum(m.size for m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())
        total += len(a)
    share = same / total
    print("# clang-format leaves %.0f%% of %d lines alone" % (100 * share, total))
    house.result("clang_format_describes_them", [] if share >= LEFT_ALONE else ["it would change %.0f%%" % (100 - 100 * share)])
else:
    print("skip clang_format_describes_them: clang-format is not installed")
seen = wrong("/x.c", "int f(int x){\n\tif(x) \n  return 1;\n}")
house.result("what_looks_otherwise_is_found", [] if len(seen) == 5 else seen)
house.finish()
