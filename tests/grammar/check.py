#!/usr/bin/env python3
"""JSON schemas by us and by Python's jsonschema, which this needs.
    check.py suite TESTER FOLDER     the JSON-Schema-Test-Suite's tests of a draft: nothing invalid is let through; counts
    check.py random TESTER N         N random schemas, each with texts walked out of its automaton: all are valid JSON of that schema; and what
                                     other schemas wrote: what is let through is valid
    check.py golden TESTER           tests/golden/grammar/schemas.txt.gz anew, which test_grammar reads without jsonschema
TESTER: build/tests/test_grammar, which answers lines (see there)."""
import collections
import decimal
import glob
import gzip
import io
import json
import os
import random
import subprocess
import sys

from jsonschema import Draft202012Validator


class Tester:
    def __init__(self, path):
        self.p = subprocess.Popen([path, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, letter, text):
        self.p.stdin.write(("%s %s\n" % (letter, text)).encode())
        self.p.stdin.flush()
        return self.p.stdout.readline().decode().rstrip("\n")


def read(text):
    """Exactly: a double would round a number onto its bound."""
    return json.loads(text, parse_float=decimal.Decimal)


def valid(checker, text):
    return checker.is_valid(read(text))


def circles(checker):
    """A schema that comes back to itself over the same value: what it means is nobody's to say."""
    try:
        checker.is_valid(0), checker.is_valid({}), checker.is_valid("")
    except RecursionError:
        return True
    return False


def checker_of(text):
    return Draft202012Validator(read(text), format_checker=Draft202012Validator.FORMAT_CHECKER)


# ---- random schemas ----
PATTERNS = ["^[a-z]{2,5}$", "^(ab|cd)*$", "^[0-9]{3}-[0-9]{4}$", "x", "^a.*z$", "[А-я]+", "^\\\\d+(\\\\.\\\\d{1,2})?$", "^[^\\\"\\\\s]{1,4}$", "^(?:yes|no)$", "(foo|ba[rz])$", "^\\\\w+@\\\\w+$", "^.{0,3}$",
            "^[\\\\u0410-\\\\u0430]?$", "\\\\\\\\$", "^(a|b(c|d){2,3}){1,2}$"]
FORMATS = ["date", "time", "date-time", "uuid", "email", "ipv4", "hostname", "uri"]
NAMES = ["a", "b", "ab", "name", "x y", "Ж", "q\"", "back\\slash", "", "id", "n\n"]


def number(r, whole):
    x = r.choice([r.randint(-20, 20), r.randint(-1000, 1000), r.randint(-10 ** 9, 10 ** 9)])
    return x if whole or r.random() < 0.4 else x / r.choice([2, 4, 8, 10, 100])


def constant(r, d=0):
    k = r.randrange(8 if d < 2 else 6)
    if k < 6:
        return [None, True, r.randint(-50, 50), r.choice(["", "a", "Ж\n", "q\"\\", "long words"]), round(r.uniform(-9, 9), 2), False][k]
    return [constant(r, d + 1) for _ in range(r.randrange(3))] if k == 6 else {r.choice(NAMES): constant(r, d + 1) for _ in range(r.randrange(3))}


def leaf(r):
    k = r.randrange(12)
    if k == 0:
        return {"type": "boolean"}
    if k == 1:
        return {"type": "null"}
    if k == 2:
        return {"enum": [constant(r) for _ in range(r.randint(1, 4))]}
    if k == 3:
        return {"const": constant(r)}
    if k in (4, 5):
        s = {"type": "string"}
        if r.random() < 0.5:
            s["minLength"] = r.randrange(4)
        if r.random() < 0.5:
            s["maxLength"] = s.get("minLength", 0) + r.randrange(6)
        return s
    if k == 6:
        s = {"type": "string", "pattern": json.loads('"%s"' % r.choice(PATTERNS))}
        if r.random() < 0.4:
            s["maxLength"] = r.randint(2, 12)
        return s
    if k == 7:
        return {"type": "string", "format": r.choice(FORMATS)}
    if k in (8, 9, 10):
        whole = r.random() < 0.5
        s = {"type": "integer" if whole else "number"}
        lo = number(r, whole and r.random() < 0.8)
        if r.random() < 0.7:
            s[r.choice(["minimum", "exclusiveMinimum"])] = lo
        if r.random() < 0.7:
            s[r.choice(["maximum", "exclusiveMaximum"])] = lo + abs(number(r, False))
        return s
    return r.choice([{}, True, {"type": ["integer", "null"]}, {"type": ["string", "boolean"], "maxLength": 3}])


def schema(r, d=0, defs=()):
    if d > 3 or r.random() < 0.3:
        return leaf(r)
    k = r.randrange(10)
    if k < 2:
        s = {"type": "array"}
        if r.random() < 0.8:
            s["items"] = schema(r, d + 1, defs)
        if r.random() < 0.3:
            s["prefixItems"] = [schema(r, d + 1, defs) for _ in range(r.randint(1, 2))]
        if r.random() < 0.4:
            s["minItems"] = r.randrange(3)
        if r.random() < 0.4:
            s["maxItems"] = s.get("minItems", 0) + r.randrange(3)
        return s
    if k < 6:
        names = r.sample(NAMES, r.randrange(5))
        s = {"type": "object", "properties": {n: schema(r, d + 1, defs) for n in names}}
        s["required"] = [n for n in names if r.random() < 0.5] + (["more"] if r.random() < 0.1 else [])
        k = r.randrange(3)
        if k < 2:
            s["additionalProperties"] = False if k else leaf(r)
        if r.random() < 0.1:
            s["maxProperties"] = len(s["required"]) + r.randrange(3)
        if r.random() < 0.1:
            s["minProperties"] = 1
        return s
    if k == 6:
        return {"anyOf": [schema(r, d + 1, defs) for _ in range(r.randint(1, 3))]}
    if k == 7:
        return {"allOf": [schema(r, d + 2, defs), leaf(r)] if r.random() < 0.3 else
                [{"type": "object", "properties": {"a": leaf(r)}, "required": ["a"]}, {"properties": {"b": leaf(r), "a": True}, "maxProperties": r.randint(1, 3)}]}
    if k == 8:
        return {"oneOf": [{"type": "object", "properties": {"kind": {"const": str(i)}, "v": schema(r, d + 2, defs)}, "required": ["kind"]} for i in range(r.randint(1, 3))]
                + [{"type": "integer"}] * r.randrange(2)}
    return {"$ref": r.choice(defs)} if defs else leaf(r)


def whole_schema(r):
    if r.random() < 0.25:
        s = schema(r, 1, ("#/$defs/t", "#"))
        t = {"type": "object", "properties": {"v": leaf(r), "next": {"$ref": "#/$defs/t"}}, "required": ["v"], "additionalProperties": False}
        return {"anyOf": [s, {"$ref": "#/$defs/t"}], "$defs": {"t": t}}
    return schema(r)


def random_schemas(tester, n):
    r, count, problems, before = random.Random(7), collections.Counter(), [], collections.deque(maxlen=12)
    for i in range(n):
        text = json.dumps(whole_schema(r), ensure_ascii=r.random() < 0.5)
        said = tester.ask("S", text)
        count["schemas"] += 1
        if said != "ok":
            count["nothing fits" if "no text that ends" in said else "may both fit" if "may fit at once" in said else "refused"] += 1
            if "no text that ends" not in said and "may fit at once" not in said and "too many" not in said and "beside other" not in said:
                problems.append("%s: %s" % (text, said))
            continue
        check = checker_of(text)
        if circles(check):
            count["circles"] += 1
            continue
        count["held"] += 1
        mine = [tester.ask("R", str(i * 3 + k + 1)) for k in range(3)]
        for t in mine:
            count["texts"] += 1
            try:
                ok = valid(check, t) and tester.ask("T", t) == "1"
            except ValueError as e:
                ok = False
                t = "%s (%s)" % (t, e)
            if not ok:
                problems.append("%s: wrote %s" % (text, t))
        for t in before:
            let = tester.ask("T", t) == "1"
            is_valid = valid(check, t)
            count["others' texts let through" if let else "others' texts refused"] += 1
            count["of these valid, in another order or spelling"] += is_valid and not let
            if let and not is_valid:
                problems.append("%s: lets %s through" % (text, t))
        before.extend(mine)
    return count, problems


# ---- the suite ----
def suite(tester, folder):
    count, problems = collections.Counter(), []
    files = sorted(glob.glob(folder + "/*.json")) + sorted(glob.glob(folder + "/optional/bignum.json")) + \
        sorted(f for n in FORMATS for f in glob.glob("%s/optional/format/%s.json" % (folder, n)))
    for path in files:
        with open(path, encoding="utf-8") as f:
            groups = json.load(f)
        for g in groups:
            said = tester.ask("S", json.dumps(g["schema"]))
            count["schemas"] += 1
            nothing = said != "ok" and "no text that ends" in said
            if said != "ok" and not nothing:
                count["refused by name"] += 1
                continue
            count["held"] += 1
            for t in g["tests"]:
                try:
                    text = json.dumps(t["data"], ensure_ascii=False)
                    text.encode()
                except UnicodeEncodeError:
                    continue
                let = not nothing and tester.ask("T", text) == "1"
                count[("valid, " if t["valid"] else "invalid, ") + ("let through" if let else "refused")] += 1
                if let and not t["valid"]:
                    problems.append("%s: %s: %s: %s" % (os.path.basename(path), g["description"], t["description"], text))
    return count, problems


def golden(tester):
    """S schema, then Y and N texts, for a test without jsonschema: what was let through was valid, what is invalid was not."""
    r, before = random.Random(11), collections.deque(maxlen=30)
    with gzip.GzipFile("tests/golden/grammar/schemas.txt.gz", "wb", 9, mtime=0) as z, io.TextIOWrapper(z, encoding="utf-8", newline="\n") as f:
        for i in range(500):
            text = json.dumps(whole_schema(r))
            if tester.ask("S", text) != "ok" or circles(checker_of(text)):
                continue
            check, mine = checker_of(text), [tester.ask("R", str(i * 2 + k + 1)) for k in range(2)]
            assert all(valid(check, t) for t in mine)
            f.write("S %s\n" % text)
            for t in mine:
                f.write("Y %s\n" % t)
            for t in r.sample(list(before), min(len(before), 5)):
                if not valid(check, t):
                    f.write("N %s\n" % t)
            before.extend(mine)


def main():
    tester = Tester(sys.argv[2])
    if sys.argv[1] == "golden":
        golden(tester)
        return 0
    count, problems = suite(tester, sys.argv[3]) if sys.argv[1] == "suite" else random_schemas(tester, int(sys.argv[3]))
    print("# " + ", ".join("%d %s" % (v, k) for k, v in sorted(count.items(), key=lambda x: x[0])))
    for p in problems[:10]:
        print("# " + p[:600])
    name = "json_schema_test_suite" if sys.argv[1] == "suite" else "random_schemas"
    enough = count["held"] > (140 if sys.argv[1] == "suite" else int(sys.argv[3]) // 2)
    print("not ok %s: %d problems%s" % (name, len(problems), "" if enough else ", too few schemas were held") if problems or not enough else "ok " + name)
    return bool(problems) or not enough


sys.exit(main())
