#!/usr/bin/env python3
"""Small chat archives of every kind, whole and damaged, in the forms that the programs write. Made by hand; run in this folder."""
import gzip
import json
import zipfile

T = 1700000000


def node(name, parent, role=None, text=None, at=0, kind="text", **more):
    m = None
    if role:
        content = {"content_type": kind, "parts": [text]} if kind in ("text", "multimodal_text") else {"content_type": kind, "text": text}
        m = {"id": name, "author": {"role": role, "name": "browser" if role == "tool" else None, "metadata": {}}, "create_time": T + at if at else None, "update_time": None, "content": content,
             "status": "finished_successfully", "end_turn": True, "weight": 1.0, "metadata": {"model_slug": "gpt-4o"} if role == "assistant" else {}, "recipient": "all"}
        m["metadata"].update(more.pop("metadata", {}))
        m.update(more)
    return {"id": name, "message": m, "parent": parent, "children": []}


def chatgpt(name, title, nodes, last, at=0):
    return {"title": title, "create_time": T + at + .5, "update_time": T + at + 90.25, "mapping": {n["id"]: n for n in nodes}, "moderation_results": [],
            "current_node": last, "conversation_id": name, "id": name}


BIRDS = [node("root", None), node("sys", "root", "system", "", metadata={"is_visually_hidden_from_conversation": True}),
         node("ctx", "sys", "user", "I like short answers", 1, metadata={"is_visually_hidden_from_conversation": True}),
         node("u1", "ctx", "user", "Why do kestrels hover?", 2),
         node("a1", "u1", "assistant", "They look for mice.", 3),
         node("a2", "u1", "assistant", "search('kestrel')", 4, "code", recipient="browser"),
         node("t2", "a2", "tool", "results", 5),
         node("b2", "t2", "assistant", "To see the ground\nwithout moving their heads.", 6),
         node("u2", "b2", "user", "И на закате?", 7),
         node("a3", "u2", "assistant", "Тоже.", 8)]
LIGHT = [node("r", None), node("q", "r", "user", "What is light?", 10), node("w", "q", "assistant", "Waves 😀 and quanta.", 11)]
MORE = [node("q2", "w", "user", "And sound?", 12), node("w2", "q2", "assistant", "Waves alone.", 13)]
two = [chatgpt("c-birds", "Birds\u0007 \u202eof prey", BIRDS, "a3"), chatgpt("c-light", "Light", LIGHT, "w", 10)]
longer = [two[0], chatgpt("c-light", "Light", LIGHT + MORE, "w2", 10)]


def packed(name, text):
    """Kept as NAME.gz (tests/packed.h)."""
    with open(name + ".gz", "wb") as f:
        f.write(gzip.compress(text.encode(), 9, mtime=0))


def put(name, text):
    with open(name, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


put("chatgpt.json", json.dumps(two))
put("chatgpt-longer.json", json.dumps(longer, indent=1, ensure_ascii=False))
with zipfile.ZipFile("chatgpt.zip", "w", zipfile.ZIP_DEFLATED) as z:
    for n, data in (("conversations-000.json", two[:1]), ("conversations-001.json", two[1:]), ("user.json", {"id": "user-1"}), ("chat.html", "<html>")):
        z.writestr(zipfile.ZipInfo(n, (2024, 1, 1, 0, 0, 0)), json.dumps(data), zipfile.ZIP_DEFLATED)

# Damaged: what is wrong with each record stands in its title.
ring = [node("x", "z", "user", "one", 1), node("y", "x", "assistant", "two", 2), node("z", "y", "user", "three", 3), node("self", "self", "user", "alone", 4)]
twice = {"a": node("same", None, "user", "first", 1)}
bad = [chatgpt("d1", "good before", LIGHT, "w"), {"title": "mapping is a list", "create_time": T, "mapping": [1, 2], "id": "d2"},
       chatgpt("d3", "a circle", ring, "z"),
       {"title": "wrong types", "create_time": "never", "mapping": {"n1": 5, "n2": node("n2", None, "user", {"no": "text"}, 1), "n3": {"message": "no", "parent": 7},
                                                                   "n4": node("n4", "n2", "robot", "who am I", 2), "n5": node("n5", "n2", "assistant", "still read", 3)}, "id": "d4"},
       {"title": "no name", "mapping": {}}, 17, "text", ["a"], {"other": "object"}, chatgpt("d5", "good after", MORE, "w2"), None]
text = json.dumps(bad)
text = text.replace('"title": "good after"', '"title": "good \\ud83d after \\u0000"')     # half a pair, a zero
put("chatgpt-damaged.json", text)
whole = json.dumps([chatgpt("k%d" % i, "chat %d" % i, LIGHT, "w") for i in range(5)])
put("chatgpt-cut.json", whole[:len(whole) * 4 // 5 - 300])                                # loaded in part
hole = whole.replace('"k1", "id": "k1"}', '"k1", "id": "k1"', 1).replace('"title": "chat 3"', '"title": "chat 3', 1)
put("chatgpt-hole.json", hole)                                                      # a bracket and a quote are gone
deep = "[" * 20000 + "]" * 20000
packed("chatgpt-deep.json", '[{"title": "deep", "create_time": 1, "mapping": %s}, %s]' % (deep, json.dumps(two[1])))
same = dict(two[1], mapping=dict(two[1]["mapping"]))
put("chatgpt-twice.json", json.dumps([two[1], two[1]])[:-1] + ', {"title": "names", "id": "n", "current_node": "p", "mapping": {"p": %s, "p": %s}}]' % (
    json.dumps(node("p", None, "user", "first of a name", 1)), json.dumps(node("p", None, "user", "second of it", 2))))

claude = [{"uuid": "cl-1", "name": "Owls", "created_at": "2024-02-03T04:05:06.789Z", "updated_at": "2024-02-03T05:05:06+01:00", "account": {"uuid": "x"}, "chat_messages": [
    {"uuid": "m1", "text": "Where do owls sleep?", "content": [{"type": "text", "text": "Where do owls sleep?"}], "sender": "human", "created_at": "2024-02-03T04:05:07Z",
     "attachments": [{"file_name": "owls.txt", "extracted_content": "Owls sleep in hollow trees."}, {"file_name": "", "extracted_content": "pasted"}], "files": []},
    {"uuid": "m2", "text": "", "content": [{"type": "thinking", "thinking": "Hollow trees, barns."}, {"type": "text", "text": "In hollow trees."}, {"type": "tool_use", "name": "x"},
     {"type": "tool_use", "name": "artifacts", "input": {"command": "create", "content": "An essay on owls."}}, {"type": "tool_result", "name": "artifacts", "content": [{"type": "text", "text": "OK"}]}],
     "sender": "assistant", "created_at": "2024-02-03T04:05:08Z", "attachments": []},
    {"uuid": "m3", "text": "an older form", "sender": "human", "created_at": "2024-02-03T04:05:09Z", "parent_message_uuid": "m2"},
    {"uuid": "m4", "text": "another way to ask", "sender": "human", "created_at": "2024-02-03T04:05:10Z", "parent_message_uuid": "m2"},
    {"uuid": "m5", "text": "answered", "sender": "assistant", "created_at": "2024-02-03T04:05:11Z", "parent_message_uuid": "m4"}]},
    {"uuid": "cl-2", "name": "", "created_at": "2024-02-04T00:00:00Z", "updated_at": "2024-02-04T00:00:00Z", "chat_messages": []},
    {"uuid": "cl-3", "name": "damaged", "created_at": 5, "chat_messages": [7, {"sender": "cat", "text": "meow"}, {"sender": "human", "text": ["list"]}, {"sender": "human", "text": "whole"}]},
    {"uuid": "cl-4", "name": "worse", "chat_messages": "none"}]
put("claude.json", json.dumps(claude))

webui = [{"id": "w-1", "user_id": "u", "title": "Herons", "updated_at": T + 50, "created_at": T, "archived": False, "chat": {"title": "Herons", "models": ["qwen3:30b"], "history": {
    "currentId": "3", "messages": {
        "1": {"id": "1", "parentId": None, "childrenIds": ["2", "3"], "role": "user", "content": "What do herons eat?", "timestamp": T + 1},
        "2": {"id": "2", "parentId": "1", "childrenIds": [], "role": "assistant", "model": "llama3", "content": "Frogs.", "timestamp": T + 2},
        "3": {"id": "3", "parentId": "1", "childrenIds": [], "role": "assistant", "model": "qwen3:30b", "timestamp": T + 3,
              "content": "<details type=\"reasoning\" done=\"true\" duration=\"2\">\n<summary>Thought for 2 seconds</summary>\n> fish, frogs\n</details>\nFish."}}}}},
    {"id": "", "title": "a list alone", "chat": {"id": "w-2", "title": "", "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nhi"}]}}]
put("webui.json", json.dumps(webui))

studio = {"name": "Swifts", "pinned": False, "createdAt": T * 1000 + 5, "preset": "", "tokenCount": 40, "systemPrompt": "Be brief.", "messages": [
    {"versions": [{"type": "singleStep", "role": "user", "content": [{"type": "text", "text": "Do swifts land?"}]}], "currentlySelected": 0},
    {"versions": [
        {"type": "multiStep", "role": "assistant", "senderInfo": {"senderName": "qwen3-30b-a3b"}, "steps": [
            {"type": "contentBlock", "content": [{"type": "text", "text": "Rarely, I think."}], "style": {"type": "thinking", "ended": True, "title": "Thought"}},
            {"type": "contentBlock", "content": [{"type": "text", "text": "Hardly ever."}]}, {"type": "debugInfoBlock", "debugInfo": "x"}]},
        {"type": "multiStep", "role": "assistant", "senderInfo": {"senderName": "qwen3-30b-a3b"}, "steps": [
            {"type": "contentBlock", "content": [{"type": "text", "text": "Only to nest."}]}]}], "currentlySelected": 1},
    {"versions": [], "currentlySelected": 0}, {"versions": [{"type": "singleStep", "role": "user", "content": [{"type": "text", "text": "Thanks"}]}], "currentlySelected": 9}]}
put("studio.conversation.json", json.dumps(studio, indent=2))

tavern = [{"user_name": "You", "character_name": "Rook", "create_date": "2024-01-12@15h21m03s", "chat_metadata": {"note_prompt": ""}},
          {"name": "Rook", "is_user": False, "is_system": False, "send_date": "January 12, 2024 3:21pm", "mes": "Welcome to the tower.", "extra": {}},
          {"name": "You", "is_user": True, "is_system": False, "send_date": "January 12, 2024 3:22pm", "mes": "Who lives here?", "extra": {}},
          {"name": "Rook", "is_user": False, "is_system": False, "send_date": "2024-1-12 @15h 23m 4s 567ms", "mes": "Only birds.", "extra": {"model": "mistral", "reasoning": "birds?"},
           "swipes": ["Nobody.", "Only birds.", ""], "swipe_id": 1},
          {"name": "System", "is_user": False, "is_system": True, "send_date": 1705073000000, "mes": "a hidden note", "extra": {}},
          {"name": "You", "is_user": True, "is_system": False, "send_date": "2024-01-12T15:24:00.000Z", "mes": "Птицы?", "extra": {}}]
lines = [json.dumps(x, ensure_ascii=False) for x in tavern]
put("tavern.jsonl", "\n".join(lines) + "\n")
put("tavern-damaged.jsonl", "\n".join(lines[:2] + [lines[2][:60]] + ["not json", "{}"] + lines[3:]) + "\n")

put("nexus.md", """---
nexus: nexus-ai-chat-importer
provider: chatgpt
aliases: "Ravens and crows"
conversation_id: nx-1
create_time: 2025-06-30T03:14:00.000Z
---

# Title: Ravens

>[!nexus_user] **User** - 30.06.2025 at 3:14
> Which one is larger?
>
> ```
> a [!nexus_agent] in code
> ```
<!-- UID: n-1 -->

>[!nexus_agent] **Assistant** - 06/30/2025 at 3:15 PM
> The raven.
>> a quotation
<!-- UID: n-2 -->

> [!nexus_user] **User** - 2025-06-30 at 15:16:30
> And without a name?

>[!nexus_agent] **Assistant** - nonsense
> Told by what it says.
""")
put("dialogue.md", """# Wagtails

## User

Why do they wag?

```
## Assistant
```

## Assistant
Nobody knows.

### a heading inside

## User
Really?
""")
put("dialogue-bold.md", "**You:** What is a tit?\n\n**ChatGPT:** A small bird.\n\nIt sings.\n\n**You:** Спасибо\n")
put("dialogue.txt", "Пользователь: Кто поёт ночью?\nАссистент: Соловей.\nПользователь: А днём?\nАссистент: Жаворонок.\n")
put("mojibake.json", json.dumps([chatgpt("mj", "Птицы".encode().decode("mac_roman"), [
    node("r", None), node("q", "r", "user", "Почему сокол зависает в воздухе?".encode().decode("mac_roman"), 1),
    node("w", "q", "assistant", "Он высматривает добычу, not moving.".encode().decode("mac_roman"), 2)], "w")], ensure_ascii=False))


# As rag/export.c writes it: branches, what looks like its own marks, and a comment that cannot be read.
def own(damage):
    def m(text, head, **more):
        more["bytes"] = len(text.encode())
        return "<!-- quorum %s -->\n## %s · 2024-05-03 10:00\n\n%s\n\n" % (json.dumps(more, ensure_ascii=False, separators=(",", ":")).replace(">", "\\u003e"), head, text)
    t = '<!-- quorum {"v":1,"conversation":"1714730000000-7","title":"Cranes -- & storks","created":1714730000000,"opened":1714731000000,"leaf":"4"} -->\n\n# Cranes\n\n'
    t += m("Who dances?\n\n<!-- quorum {\"message\":\"9\"} -->\n## You\n", "Person", message="1", role="user", created=1714730001000)
    t += m("Cranes do.", "Model · m", message="2", under="1", role="assistant", created=1714730002000, model="m", thinking=7).replace("\n\nCranes do.", "\n\n<details><summary>x</summary>\n\nhm\nhmm.\n\n</details>\n\nCranes do.")
    t += m("Журавли.", "Model · another branch", message="3", under="1", role="assistant", created=1714730003000)
    t += m("Спасибо", "Marta", message="4", under="2", role="user", created=1714730004000, author="Marta")
    t += m("unseen", "Tool · not shown", message="5", under="2", role="tool", created=1714730005000, hidden=True)
    return t.replace('"bytes":16', '"bytes":9999').replace('quorum {"message":"4"', 'quorum {"message":4"') if damage else t


put("quorum.md", own(False))
put("quorum-damaged.md", own(True))

# A picture, speech, a canvas, null among the parts, a kind that is not known yet; no title and no times but of two messages.
KINDS = [node("r", None), node("s", "r", "system", ""),
         node("u1", "s", "user", "what heron is it?", 20, "multimodal_text"),
         node("c1", "u1", "assistant", '{"name": "essay", "content": "on bitterns"}', 0, "code", recipient="canmore.create_textdoc"),
         node("t1", "c1", "tool", "created"),
         node("a1", "t1", "assistant", "A grey one, of \ue200entity\ue202[\"bird\",\"Ardea\",0]\ue201. \ue203Sure\ue204 \ue200cite\ue202turn0search1\ue201\ue200of_a_kind\ue202to come\ue202and stay\ue201 \ue200open"),
         node("u2", "a1", "user", None, 30, "multimodal_text"),
         node("u3", "u2", "user", None),
         node("u4", "u3", "user", "of a kind to come")]
KINDS[2]["message"]["content"]["parts"].insert(0, {"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_1"})
KINDS[6]["message"]["content"]["parts"] = [{"content_type": "audio_transcription", "text": "spoken on plovers", "direction": "in"},
                                           {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": {"asset_pointer": "sediment://a"}}]
KINDS[7]["message"]["content"]["parts"] = [None, "after null"]
KINDS[8]["message"]["content"]["content_type"] = "of_a_kind_to_come"
kinds = chatgpt("c-kinds", None, KINDS, "u4")
kinds["create_time"] = kinds["update_time"] = None
put("chatgpt-kinds.json", json.dumps([kinds]))
