/* report: how a script ends, and how its errors are told to people: the message, the line that it
 * names, that line's text, the traceback without our own frames. Knows the structs of script.h, and
 * calls no function of script.c or host.c. */
#ifndef WFI_REPORT_H
#define WFI_REPORT_H

#include "script.h"

/* Makes room for the sources of workflows and for the result. Protected, once, at the start. */
WFI void wfi_report_open(lua_State *L);
/* Keeps the text at `source` as that of the workflow whose name is at `name`, for errors to show
 * its lines. Both are absolute indexes. */
WFI void wfi_report_keep_source(lua_State *L, int name, int source);
/* The number of the line of the script, or of a workflow that it has loaded, that a message of the
 * form "NAME:NUMBER: ..." names, with the source; 0: it names none. Leaves values on the stack. */
WFI unsigned long wfi_report_find_line(lua_State *L, const char *message, wf_str *source);
/* Pushes "NAME:LINE: " of the line that a branch is at, or, where it runs none of the script's, the
 * one that started it. */
WFI void wfi_report_push_where(lua_State *L, const wfi_script_branch *b);
/* Protected: (error, coroutine or nil) -> its text as people should see it: message, the line that
 * it names, traceback. */
WFI int wfi_report_text(lua_State *L);

/* Pushes what stands behind a result that is JSON: scripts can make nothing like it. */
WFI void wfi_report_push_json(lua_State *L);

/* These end the script. As failed, with a constant text: */
WFI void wfi_report_fail(wf_script *s, const char *text);
/* ... with the text on top of the main state's stack: */
WFI void wfi_report_finish_top(wf_script *s, bool failed, bool json);
/* ... with the error on top of a dead coroutine's stack: */
WFI void wfi_report_fail_error(wf_script *s, lua_State *co);
/* ... with what its main branch, which has ended, returned: nothing, a text, JSON with its mark; nil
 * and an error are a failure. These two do not end it if memory runs out: then the step gives up. */
WFI void wfi_report_ended(wf_script *s);

#endif
