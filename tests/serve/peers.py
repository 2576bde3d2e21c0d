"""peers: what real clients make of quorum serve. Run by peers.sh."""
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import ENV, T, Server, check, finish, golden, quorum, result, with_template

import openai

HERMES = ("{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
          "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
GGUF = os.environ.get("GGUF")
KEY = T + "/key"
with open(KEY, "w", encoding="utf-8") as f:
    f.write("the-key\n")
os.chmod(KEY, 0o600)
s = Server(with_template("qwen3moe", HERMES), "--set", "context.length=2048", "--key-file", KEY)
URL, NAME = "http://127.0.0.1:%d/v1" % s.port, s.hello["model"]

# ---- openai ----
c = openai.OpenAI(base_url=URL, api_key="the-key", max_retries=0)
check([m.id for m in c.models.list()] == [NAME] and c.models.retrieve(NAME).id == NAME, "models")
SAID = [{"role": "user", "content": "Say something."}]
a = c.chat.completions.create(model=NAME, messages=SAID, max_tokens=12, seed=4, logprobs=True, top_logprobs=3, n=2)
check(len(a.choices) == 2 and a.choices[0].message.role == "assistant" and len(a.choices[0].logprobs.content[0].top_logprobs) == 3, "chat:", a)
check(a.usage.total_tokens == a.usage.prompt_tokens + a.usage.completion_tokens, "usage:", a.usage)
text, usage, finish_reason = "", None, None
for e in c.chat.completions.create(model=NAME, messages=SAID, max_tokens=12, seed=4, stream=True, stream_options={"include_usage": True}):
    usage = e.usage or usage
    for ch in e.choices:
        text += ch.delta.content or ""
        finish_reason = ch.finish_reason or finish_reason
check(text == a.choices[0].message.content and finish_reason == a.choices[0].finish_reason and usage.completion_tokens == len(a.choices[0].logprobs.content), "stream:", text, usage)
t = c.completions.create(model=NAME, prompt=["one", "two"], max_tokens=5, seed=4, logprobs=2, echo=True)
check([x.text[:3] for x in t.choices] == ["one", "two"] and t.choices[0].logprobs.token_logprobs[0] is None, "completions:", t)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 10}, "days": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["city", "days"], "additionalProperties": False}
TOOL = [{"type": "function", "function": {"name": "get_weather", "description": "The weather of some days.", "parameters": SCHEMA}}]
a = c.chat.completions.create(model=NAME, messages=SAID, tools=TOOL, tool_choice={"type": "function", "function": {"name": "get_weather"}}, max_tokens=120, seed=4)
call = a.choices[0].message.tool_calls[0]
check(a.choices[0].finish_reason == "tool_calls" and set(json.loads(call.function.arguments)) == {"city", "days"}, "a call:", a)
after = c.chat.completions.create(model=NAME, messages=SAID + [a.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}], tools=TOOL, max_tokens=4, seed=4)
check(after.usage.prompt_tokens > a.usage.prompt_tokens, "its result goes back")
with c.chat.completions.stream(model=NAME, messages=SAID, tools=TOOL, tool_choice="required", max_tokens=120, seed=4) as st:
    final = st.get_final_completion()
check(final.choices[0].message.tool_calls[0].function.name == "get_weather", "a call in a stream:", final)
j = c.chat.completions.create(model=NAME, messages=SAID, response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA, "strict": True}}, max_tokens=120, seed=4)
check(set(json.loads(j.choices[0].message.content)) == {"city", "days"}, "a schema:", j)
x = c.completions.create(model=NAME, prompt="one", max_tokens=3, seed=4, extra_body={"knobs": {"experts.k": 1}, "return_routed_experts": True})
check(x.choices[0].model_extra["routed_experts"].startswith("k05VTVBZ"), "extensions:", x)
for what, error, words in ((lambda: c.chat.completions.create(model=NAME, messages=SAID, temperature=-1), openai.BadRequestError, "temperature"), (lambda: c.chat.completions.create(model="gpt-5", messages=SAID), openai.NotFoundError, "gpt-5"),
                           (lambda: c.chat.completions.create(model=NAME, messages=SAID, logit_bias={"5": 1}), openai.BadRequestError, "logit_bias"),
                           (lambda: openai.OpenAI(base_url=URL, api_key="other", max_retries=0).models.list(), openai.AuthenticationError, "key"),
                           (lambda: c.embeddings.create(model=NAME, input="a"), openai.NotFoundError, "embedd")):
    try:
        what()
        check(False, "no %s" % error.__name__)
    except openai.APIStatusError as e:
        check(isinstance(e, error) and words in str(e), "%s:" % error.__name__, type(e).__name__, str(e))
print("# openai %s: chat, stream, n, logprobs, completions with echo, tools, schema, extensions, five kinds of errors" % openai.__version__)
result("the_openai_package_is_served")

# ---- llm ----
env = dict(ENV, LLM_USER_PATH=T + "/llm", PATH=os.environ["PATH"], LLM_QUORUM="the-key")
os.mkdir(T + "/llm")
with open(T + "/llm/extra-openai-models.yaml", "w", encoding="utf-8") as f:
    f.write("- model_id: q\n  model_name: %s\n  api_base: %s\n  api_key_name: q\n  supports_schema: true\n" % (NAME, URL))
said = []
for more in (["--no-stream"], [], ["--schema", json.dumps(SCHEMA)]):
    r = subprocess.run(["llm", "-m", "q", "--key", "the-key", "-o", "seed", "4", "-o", "max_tokens", "100", *more, "Say something."], capture_output=True, env=env, timeout=300, stdin=subprocess.DEVNULL)
    check(r.returncode == 0 and r.stdout.strip(), "llm %s:" % more, r.returncode, r.stdout, r.stderr[-400:])
    said.append(r.stdout)
check(said[0] == said[1], "whole and streamed:", said)
try:
    check(set(json.loads(said[2])) == {"city", "days"}, "a schema:", said[2])
except ValueError:
    check(False, "a schema:", said[2])
print("# " + subprocess.run(["llm", "--version"], capture_output=True, text=True, env=env).stdout.strip() + ": whole, streamed, with a schema")
result("llm_is_served")
s.stop()

# ---- lm-eval ----
model = GGUF if GGUF else golden("qwen3moe")
QUESTIONS = [("The capital of France is", ["Paris", "London", "Rome"], 0), ("Two plus two is", ["five", "four", "nine"], 1), ("The opposite of hot is", ["warm", "red", "cold"], 2), ("A dog is an", ["animal", "engine", "idea"], 0),
             ("Water freezes at zero degrees", ["Celsius", "per hour"], 0), ("The sun rises in the", ["west", "east"], 1), ("Кошка говорит:", ["мяу", "гав"], 0), ("Roses are red, violets are", ["blue", "heavy", "old friends"], 0)]
os.mkdir(T + "/task")
with open(T + "/task/q.jsonl", "w", encoding="utf-8") as f:
    for p, ch, n in QUESTIONS:
        f.write(json.dumps({"prompt": p, "choices": ch, "answer": n}) + "\n")
with open(T + "/own.jsonl", "w", encoding="utf-8") as f:          # lm-eval puts a blank between the two
    for p, ch, n in QUESTIONS:
        f.write(json.dumps({"prompt": p, "choices": [" " + x for x in ch], "answer": n}) + "\n")
with open(T + "/task/own.yaml", "w", encoding="utf-8") as f:
    f.write("task: own\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: %s/task/q.jsonl\ntest_split: test\noutput_type: multiple_choice\n"
            "doc_to_text: \"{{prompt}}\"\ndoc_to_choice: \"{{choices}}\"\ndoc_to_target: answer\nmetric_list:\n  - metric: acc\n  - metric: acc_norm\n" % T)
w = Server(model, "--set", "context.length=2048")
env = dict(ENV, PATH=os.environ["PATH"], HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=T + "/hf", TOKENIZERS_PARALLELISM="false")
r = subprocess.run(["lm_eval", "--model", "local-completions", "--tasks", "own", "--include_path", T + "/task", "--log_samples", "--output_path", T + "/said", "--model_args",
                    "model=%s,base_url=http://127.0.0.1:%d/v1/completions,tokenizer_backend=remote,num_concurrent=1,max_length=1024" % (w.hello["model"], w.port)], capture_output=True, text=True, env=env, timeout=900)
files = [os.path.join(d, f) for d, _, fs in os.walk(T + "/said") for f in fs]
samples = [f for f in files if os.path.basename(f).startswith("samples")]
check(r.returncode == 0 and samples, "lm_eval:", r.returncode, r.stderr[-1500:], files)
rc, out, err = quorum("eval", "choices", "-m", model, "-f", T + "/own.jsonl", "--json", "--set", "context.length=2048")
check(rc == 0, "eval choices:", err)
if samples and rc == 0:
    ours = [json.loads(x) for x in out.decode().splitlines()]
    with open([f for f in files if os.path.basename(f).startswith("results")][0], encoding="utf-8") as f:
        theirs = json.load(f)["results"]["own"]
    worst = 0
    with open(samples[0], encoding="utf-8") as f:
        for line in f:
            d = json.loads(line)
            for (lp, greedy), got in zip((x[0] if isinstance(x[0], list) else x for x in d["filtered_resps"]), ours[d["doc_id"]]["choices"]):
                worst = max(worst, abs(float(lp) - got["logprob"]))
                check(abs(float(lp) - got["logprob"]) < 1e-3 and str(greedy) == str(got["greedy"]), "question %d:" % d["doc_id"], lp, greedy, got)
    check(abs(theirs["acc,none"] - ours[-1]["acc"]) < 1e-9 and abs(theirs["acc_norm,none"] - ours[-1]["acc_norm"]) < 1e-9, "accuracy:", theirs, ours[-1])
    check(abs(theirs["acc_stderr,none"] - ours[-1]["acc_stderr"]) < 1e-6, "its error:", theirs, ours[-1])
    import importlib.metadata
    print("# lm-eval %s on %s: acc %.4f acc_norm %.4f, quorum eval choices acc %.4f acc_norm %.4f; log-likelihoods differ by %.2g at most" %
          (importlib.metadata.version("lm-eval"), w.hello["model"], theirs["acc,none"], theirs["acc_norm,none"], ours[-1]["acc"], ours[-1]["acc_norm"], worst))
result("lm_eval_counts_what_quorum_counts")
w.stop()

# ---- what a person would ask ----
if GGUF:
    w = Server(GGUF, "--set", "context.length=2048")
    c = openai.OpenAI(base_url="http://127.0.0.1:%d/v1" % w.port, api_key="none", max_retries=0)
    a = c.chat.completions.create(model=w.hello["model"], messages=[{"role": "user", "content": "What is the capital of France? Answer in one sentence."}], temperature=0, max_tokens=40)
    check("Paris" in a.choices[0].message.content, "an answer:", a)
    print("# %s: %r" % (w.hello["model"], a.choices[0].message.content))
    w.stop()
    result("a_model_answers_a_person")
else:
    print("skip a_model_answers_a_person: no model: give GGUF=FILE, or run quorum model fetch")
finish()
