"""Reads what `quorum compare --other --json` said of the model before a stage (A) and after it (B) on one text, and ends with 1 where the
limit is passed: more than --most bits a byte worse (a share), or less than --least better. The interval decides, not the mean alone.

    python3 gate.py check.json --most 0.02
"""
import argparse
import json
import sys


def main():
    p = argparse.ArgumentParser()
    p.add_argument("file")
    p.add_argument("--most", type=float, help="the share that the text may become worse by")
    p.add_argument("--least", type=float, help="the share that it must become better by")
    p.add_argument("--name", default="the text")
    a = p.parse_args()
    with open(a.file, encoding="utf-8") as f:
        j = json.load(f)
    before, change = j["A"]["bits_per_byte"]["mean"], j["difference"]
    low, high = (x / before for x in change["ci"])
    print("%s: %.4f bits a byte before, %+.2f%% after (%+.2f%% to %+.2f%%)" % (a.name, before, 100 * change["mean"] / before, 100 * low, 100 * high))
    if a.most is not None and low > a.most:
        sys.exit("%s became worse by more than %.2f%%: mix some of its examples into this stage, lower the rate, or train fewer parts" % (a.name, 100 * a.most))
    if a.least is not None and high > -a.least:
        sys.exit("%s did not become better by %.2f%%: train longer, raise the rate, or look at the data" % (a.name, 100 * a.least))


if __name__ == "__main__":
    main()
