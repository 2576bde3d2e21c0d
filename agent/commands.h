/* agent/commands: the command table, a row a command in the order of /help. agent.h includes it; what a row does is in
 * another place:
 *   JOB(name)        `const job_row job_name` in the file of its errand; the row names its lane, its text is the arguments
 *   RUN(function)    of submit.c, front-end thread
 *   UI(ACTION)       what only a front end can do: AGT_EV_UI with AGT_UI_ACTION, answered in tui/model/action.c
 *   BOTH(ACTION, f)  f, which may leave it to the front end
 * Name, what it does, its Russian name, arguments, help; then what else agt_command has. */
#ifndef QUORUM_AGENT_COMMANDS_H
#define QUORUM_AGENT_COMMANDS_H

#define AGT_COMMANDS(X) \
    X(help, UI(HELP), "помощь", "", \
      N_("keys and commands"), .key = "F1") \
    X(set, RUN(set), "задать", N_("[NAME [VALUE]]"), \
      N_("change a knob; without a name: list them all"), .complete = AGT_COMPLETE_KNOB) \
    X(k, RUN(knob), "к", N_("N"), \
      N_("experts for each token, from the next token on"), .key = "F7 F8", .knob = "experts.k") \
    X(again, RUN(again), "снова", N_("[NAME=VALUE …]"), \
      N_("answer again beside the old answer, with other settings if given"), .complete = AGT_COMPLETE_ASSIGN) \
    X(stop, RUN(stop), "стоп", "", \
      N_("stop the answer and keep what was said"), .key = "Ctrl-C") \
    X(think, RUN(think), "думать", N_("[end|on|off|auto]"), \
      N_("end the running answer's thinking, so that the answer begins; or set the knob think"), .key = "Ctrl-X t", .words = "end,on,off,auto") \
    X(pause, RUN(pause), "пауза", "", \
      N_("pause the answer, or go on"), .key = "F6") \
    X(step, RUN(step), "шаг", N_("[N]"), \
      N_("while paused: N tokens"), .key = "→") \
    X(toggle, RUN(toggle), "туда-сюда", "", \
      N_("the configuration before, and the one before that; at the end the way back"), .key = "F9") \
    X(history, RUN(history_page), "история", N_("[NUMBER]"), \
      N_("the configurations that were in effect, and what each did; with a number: to that one")) \
    X(diff, RUN(diff), "отличия", "", \
      N_("what differs from the model's own settings, and what it costs")) \
    X(recompute, JOB(recompute), "пересчитать", "", \
      N_("evaluate the context anew under the present configuration")) \
    X(context, RUN(context), "контекст", "", \
      N_("what is in the context, by configuration")) \
    X(compact, JOB(compact), "сжать", N_("[WORDS | show | edit [TEXT] | undo]"), \
      N_("the model writes a summary of the older turns, which the prompt has instead of them (WORDS: what matters); they stay in the conversation"), .words = "show,edit,undo") \
    X(why, RUN(why), "почему", "", \
      N_("why these passages were fed")) \
    X(new, RUN(new), "новая", N_("[TITLE]"), \
      N_("a new conversation")) \
    X(chats, BOTH(CHATS, chats), "беседы", "", \
      N_("the list of conversations"), .key = "F2") \
    X(open, RUN(open_chat), "открыть", N_("NUMBER"), \
      N_("open a conversation by its number"), .complete = AGT_COMPLETE_CHAT) \
    X(rename, RUN(rename_chat), "назвать", N_("TITLE"), \
      N_("rename this conversation"), .needs = true) \
    X(delete, RUN(delete_chat), "удалить", N_("[NUMBER]"), \
      N_("delete this conversation, or the one with this number, for good; asks first"), .complete = AGT_COMPLETE_CHAT) \
    X(save, RUN(save_state), "сохранить", N_("state [NAME]"), \
      N_("keep in a file what the model has read of this conversation, so that it need not be read again"), .needs = true, .words = "state") \
    X(load, RUN(load_state), "загрузить", N_("state [NAME]"), \
      N_("take up what /save state kept; opening the conversation does so by itself"), .needs = true, .words = "state") \
    X(states, JOB(states), "состояния", N_("[delete NAME]"), \
      N_("what /save state kept, and how large it is"), .words = "delete") \
    X(find, JOB(find), "найти", N_("WORDS"), \
      N_("find messages in all conversations"), .needs = true) \
    X(add, JOB(take), "добавить", N_("PATH [--again]"), \
      N_("take a file or folder of text into memory; --again: also what was forgotten of archives"), .needs = true, .complete = AGT_COMPLETE_PATH) \
    X(forget, JOB(forget), "забыть", N_("NUMBER | PATH | chat N | message N | fact N | gone | since DAY [until DAY] | words TEXT"), \
      N_("remove documents, a conversation, a message, or what holds a text, for good; asks first"), .needs = true, .words = "chat,message,fact,gone,since,words") \
    X(export, JOB(export), "выгрузить", N_("[FOLDER]"), \
      N_("everything in memory as a folder: Markdown to read, JSON that makes the whole memory again; a folder that is there is asked about"), .complete = AGT_COMPLETE_PATH) \
    X(watch, JOB(watch), "следить", N_("[FOLDER | off FOLDER]"), \
      N_("keep a folder in step with memory: what changes there is taken in; alone: which are"), .words = "off", .complete = AGT_COMPLETE_PATH) \
    X(remember, JOB(remember), "запомнить", N_("[TEXT | ? | N … | all]"), \
      N_("keep a fact; ? proposes what was said here, numbers take it; alone: what is kept"), .words = "?,all") \
    X(memory, BOTH(MEMORY, memory), "память", N_("[list|map|drop MODEL]"), \
      N_("what was fed; list: the documents in memory; map: how much there is, in which languages, and how it grew; drop: vectors of an embedding model that is not used go"), .key = "F4", .words = "list,map,drop") \
    X(search, JOB(search), "поиск", N_("[--since DAY] [--until DAY] [--by me|model|NAME] WORDS"), \
      N_("what memory would feed for these words; only of what was said or taken in then, or by them"), .needs = true, .words = "--since,--until,--by") \
    X(graph, JOB(graph), "связи", N_("NAME [--svg FILE]"), \
      N_("what stands beside a name in memory: people, places, dates, identifiers; --svg: as a picture"), .needs = true) \
    X(without, RUN(without), "без", N_("[NUMBERS]"), \
      N_("the last question again without memory, or without passages by their numbers; shows both answers")) \
    X(source, RUN(source), "источник", N_("NUMBER"), \
      N_("passage [NUMBER] of the last answer, where it stands"), .needs = true) \
    X(pin, RUN(pin), "закрепить", N_("[NUMBER|@ANSWER|off NUMBER]"), \
      N_("feed a passage of the last answer first in this conversation, while it fits; @ANSWER: keep its turn word for word when older ones are summarised; alone: list what is pinned"), .words = "off") \
    X(unpin, RUN(unpin), "открепить", N_("NUMBER|@ANSWER"), \
      N_("take a pin off: by its number in /pin, or of an answer's turn"), .needs = true) \
    X(ban, RUN(ban), "запретить", N_("[NUMBER|off NUMBER]"), \
      N_("never feed the source of a passage of the last answer; alone: list what is banned"), .words = "off") \
    X(experts, BOTH(EXPERTS, experts), "эксперты", N_("[LAYER[:EXPERT] [all]]"), \
      N_("which experts run, and how unusual that is; a layer's load, or what one expert ran for, in this conversation or in all"), .key = "F3", .words = "text") \
    X(guard, RUN(guard), "страж", "", \
      N_("experts that the model cannot do without, as far as they were tried")) \
    X(config, UI(CONFIG), "настройки", "", \
      N_("the knobs as a panel"), .key = "F5") \
    X(model, JOB(model), "модель", N_("[NAME or FILE]"), \
      N_("load another model; without a name: list those at hand"), .complete = AGT_COMPLETE_MODEL) \
    X(brain, JOB(brain), "мозг", N_("[save|load|diff|rename|delete NAME]"), \
      N_("configurations under a name: list them, load one, save the present one"), .words = "save,load,list,diff,rename,delete") \
    X(module, BOTH(MODULE, of_module), "модуль", N_("[on|off|only NAME … | order NAME … | edit NAME | new NAME | diff NAME | list]"), \
      N_("named texts, ways of thinking, that stand in the prompt while they are on: which there are, what they cost and what they last changed"), .key = "Ctrl-X m", .words = "on,off,only,order,edit,new,list,diff", \
      .complete = AGT_COMPLETE_MODULE) \
    X(lora, RUN(lora), "адаптеры", N_("[load FILE[=SCALE] | off NAME | scale NAME NUMBER | list]"), \
      N_("adapters on this model: load one, how much each acts (also from the next token of an answer on), what they cost"), .words = "load,off,scale,list") \
    X(ablate, JOB(ablate), "вклад", N_("modules [NAME …] on FILE|conversation"), \
      N_("what each module adds: how much likelier accepted answers are with it than without it, and what it costs"), .needs = true, .words = "modules") \
    X(compare, JOB(compare), "сравнить", N_("A [B] [on FILE|last] | A [B] free [--blind] | --other MODEL"), \
      N_("two configurations on the same text: brains, or settings like k=4; or two models"), .needs = true) \
    X(prefer, RUN(choose), "предпочесть", "[1|2|same]", \
      N_("which of the two answers of /compare A B free is better; alone: what was chosen so far"), .words = "1,2,same") \
    X(sweep, JOB(sweep), "обход", N_("KNOB VALUES [csv FILE] [on FILE|last]"), \
      N_("one knob at several values on the same text: /sweep experts.k 1..16"), .needs = true, .complete = AGT_COMPLETE_KNOB) \
    X(experiment, RUN(experiment), "опыт", N_("[KNOB=VALUE [on FILE|last] | list | show NUMBER]"), \
      N_("one change against the present settings on the same text: what it did, then keep it or not; written down"), .words = "list,show", \
      .complete = AGT_COMPLETE_ASSIGN) \
    X(vote, JOB(vote), "голосование", N_("[k=4,8,16] [n=3] QUESTION"), \
      N_("one question answered several times, and what most of the short answers say"), .needs = true, .complete = AGT_COMPLETE_ASSIGN) \
    X(energy, BOTH(ENERGY, energy), "энергия", N_("[NAME or FILE]"), \
      N_("what a token costs at each number of experts, and where it goes"), .key = "Ctrl-X 0", .complete = AGT_COMPLETE_MODEL) \
    X(advise, BOTH(ADVISE, advise), "совет", N_("[NAME or FILE]"), \
      N_("which published model suits this machine best, and what the loaded one takes of it at each k; a name: of that file"), .key = "Ctrl-X a", .complete = AGT_COMPLETE_MODEL) \
    X(routing, JOB(routing), "маршруты", N_("[tag NAME [all]|untag NAME|compare A B]"), \
      N_("names for recorded routing: list them, give one to the last answer, compare two"), .words = "tag,untag,list,compare") \
    X(token, JOB(token), "токен", N_("[@ANSWER] [N]"), \
      N_("a token of the last answer or of another one: what else could have stood there, and which experts ran for it")) \
    X(whatif, JOB(whatif), "что-если", N_("[@ANSWER] [TOKEN] SETTINGS"), \
      N_("what would have come after a token of an answer under other settings: /whatif -3 k=2, /whatif @1 5 k=2"), .needs = true) \
    X(map, BOTH(MAP, map), "карта", N_("[--svg FILE]"), \
      N_("the layers with heads, k, banned and pinned experts, and how far positions reach"), .words = "--svg", .complete = AGT_COMPLETE_PATH) \
    X(replay, JOB(replay), "воспроизвести", N_("[@ANSWER] [SETTINGS]"), \
      N_("an answer again with its recorded experts forced, and under other settings: how far apart")) \
    X(trace, RUN(trace), "след", N_("save FILE"), \
      N_("write the last answer's routing as CSV, with its configuration as JSON beside it"), .words = "save", .complete = AGT_COMPLETE_PATH) \
    X(tools, RUN(tools), "инструменты", N_("[on|read|off | allow RULES | revoke RULE | calls [N]]"), \
      N_("what the model may do by tools, what is allowed without asking, and what was done"), .words = "on,read,off,allow,revoke,calls") \
    X(mcp, RUN(mcp), "мсп", N_("[NAME | on|off|restart|forget NAME]"), \
      N_("the MCP servers of config.ini and what they offer; on, off: use one or do not; restart; forget: be asked again before it is used"), .words = "on,off,restart,forget") \
    X(undo, JOB(undo), "вернуть", "", \
      N_("files that the last answer changed by tools become what they were")) \
    X(good, JOB(good), "хорошо", N_("[@ANSWER] [off]"), \
      N_("the last answer, or another one, is good: an example to learn from; off takes that back"), .words = "off") \
    X(bad, JOB(bad), "плохо", N_("[@ANSWER] [off]"), \
      N_("the last answer, or another one, is bad: no example, or one of how not to answer; off takes that back"), .words = "off") \
    X(better, JOB(better), "лучше", N_("[@ANSWER] TEXT"), \
      N_("what the last answer, or another one, should have said: your text stands beside it as the good one, and makes a pair to learn from"), .needs = true) \
    X(train, JOB(train), "обучать", "[on|off]", \
      N_("may this conversation leave as examples for training a model (quorum export --train)? Off until you say on; alone: what holds"), .words = "on,off") \
    X(teach, BOTH(TEACH, teach), "учить", N_("[add FILE|chats [to NAME] | list | run NAME [SETTING=VALUE …] | stop | undo [NAME] | report [NAME] | settings | drop NAME]"), \
      N_("teach the model your own examples: sets of them, a run beside the conversation, the proof of what it did; alone: how far it is"), \
      .words = "add,list,run,stop,undo,report,settings,drop,text") \
    X(copy, UI(COPY), "копировать", "", \
      N_("copy the last answer to the clipboard"), .key = "y") \
    X(edit, RUN(edit_question), "правка", N_("[TEXT]"), \
      N_("edit the last question: a branch; the old one is kept"), .key = "e") \
    X(amend, BOTH(AMEND, amend_answer), "продолжить", N_("[TEXT]"), \
      N_("go on from the last answer's text, cut or reworded: beside the old answer"), .key = "a") \
    X(branch, RUN(branch), "ветка", N_("[next|prev]"), \
      N_("to the next or previous version of the last answer or question"), .key = "[ ]", .words = "next,prev") \
    X(editor, UI(EDITOR), "редактор", "", \
      N_("write the message in $EDITOR"), .key = "Ctrl-X Ctrl-E") \
    X(screenshot, UI(SCREENSHOT), "снимок", N_("FILE.svg"), \
      N_("write the present screen to a file"), .needs = true, .complete = AGT_COMPLETE_PATH) \
    X(theme, BOTH(THEME, knob), "тема", N_("dark|light"), \
      N_("colours"), .needs = true, .knob = "ui.theme") \
    X(lang, BOTH(LANG, knob), "язык", N_("auto|en|ru"), \
      N_("language of the interface"), .needs = true, .knob = "ui.lang") \
    X(log, UI(LOG), "журнал", "", \
      N_("notes and errors so far")) \
    X(clear, UI(CLEAR), "очистить", "", \
      N_("clear the screen")) \
    X(quit, UI(QUIT), "выход", "", \
      N_("leave; everything is kept"), .key = "Ctrl-D")

#endif
