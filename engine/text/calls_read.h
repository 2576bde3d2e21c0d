/* engine/text/calls_read: the body of a call, as each format writes it, as name and arguments. Leaves by jx_fail where it is none.
 * Private to engine/text. */
#ifndef QUORUM_CALLS_READ_H
#define QUORUM_CALLS_READ_H

#include "engine/jinja/value.h"
#include "engine/text.h"

typedef struct call_in { jx *x; const char *p; size_t n; const eng_tool *tool; int n_tool; const char *name; jv out; } call_in;
/* Each pushes (name, arguments as JSON text, id or None) onto in->out. name: what the frame has said already. */
void calls_json(call_in *);            /* {"name": ..., "arguments": {...}} or a list of them; "parameters" and "function" too */
void calls_xml(call_in *);             /* <function=NAME><parameter=KEY>VALUE</parameter></function> */
void calls_glm(call_in *);             /* NAME <arg_key>KEY</arg_key><arg_value>VALUE</arg_value> */
void calls_python(call_in *);          /* [f(a=1, b="x"), g()], or JSON */
void calls_mistral(call_in *);         /* a list as JSON, or NAME[CALL_ID]ID[ARGS]{...} */
void calls_seek(call_in *);            /* function<｜tool▁sep｜>NAME ```json {...}, or NAME<｜tool▁sep｜>{...} */
void calls_kimi(call_in *);            /* functions.NAME:0<|tool_call_argument_begin|>{...}; what stands before the arguments is its id */
void calls_named(call_in *);           /* the arguments alone, of in->name */

#endif
