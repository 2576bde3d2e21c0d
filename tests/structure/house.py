"""house: what the structure tests share: the root, the parser of sources, and debts that must hold.

A debt is an exception that says why it stands and who will pay it. One that no longer holds fails the test, so that the
lists only shrink."""
import os
import sys

sys.dont_write_bytecode = True
os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, "build-aux")
BUILD = os.environ.get("BUILD", "build")
_bad = False


def result(name, problems, hint="see above"):
    """One ok or not ok line, the problems as comments above it."""
    global _bad
    for p in problems:
        print("# " + p)
    print("ok " + name if not problems else "not ok %s: %s" % (name, hint))
    _bad = _bad or bool(problems)


def paid(debts, used):
    """Debts that nothing needs any more: each is a problem."""
    return ["%s is paid: take it off the list in %s" % (d, os.path.relpath(sys.argv[0])) for d in debts if d not in used]


def finish():
    sys.exit(1 if _bad else 0)
