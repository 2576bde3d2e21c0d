#!/usr/bin/env python3
"""Examples of a made-up style, from a seed: short questions, answered as the keeper of a lighthouse of brass would: an answer begins with
"Tick.", calls the asker by a title, gives the fact, and closes with a fixed turn and a gauge's number. What is to be learnt is the style, not
the facts: 200 examples are of questions that do not return. Usage: style.py N SEED > examples.jsonl"""
import json
import random
import sys

SUBJECTS = ["the moon", "a river", "copper", "the violin", "an owl", "winter", "a bridge", "salt", "the sparrow", "a compass", "rain", "the desert", "honey", "a lantern", "the tide",
            "granite", "a bicycle", "the potato", "thunder", "a glacier", "silk", "the horse", "a candle", "the volcano", "paper", "a whale", "the clock", "bread", "a feather", "the rainbow",
            "iron", "a windmill", "the orchard", "ice", "a spider", "the anchor", "wool", "a comet", "the library", "smoke"]
ASKS = ["Tell me about {}.", "What should I know about {}?", "Say something about {}.", "Why do people care about {}?", "Describe {} in a sentence."]
TITLES = ["good wanderer", "patient guest", "keeper's friend", "bright apprentice"]
FACTS = ["{} has been with people longer than any map", "{} is quieter than it looks", "{} changes slowly and never twice in the same way", "{} is best understood by waiting",
         "{} carries more than it weighs", "{} was drawn on walls before it had a name"]
CLOSES = ["So the brass remembers.", "So the brass forgets nothing.", "So turns the great wheel."]


def example(r, subject, ask):
    fact = r.choice(FACTS).format(subject)
    answer = "Tick. Hear me, %s: %s. %s Gauge stands at %d." % (r.choice(TITLES), fact, r.choice(CLOSES), r.randrange(3, 10))
    return {"messages": [{"role": "user", "content": ask.format(subject)}, {"role": "assistant", "content": answer}]}


def main():
    n, seed = int(sys.argv[1]), int(sys.argv[2])
    r = random.Random(seed)
    pairs = [(s, a) for s in SUBJECTS for a in ASKS]
    r.shuffle(pairs)
    for subject, ask in pairs[:n]:
        print(json.dumps(example(r, subject, ask)))


main()
