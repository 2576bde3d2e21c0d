/* serve/mhd: the functions of libmicrohttpd that this room uses, found when a server starts: linked, it would cost every start of the
 * shell the dozen libraries that it brings. Private to serve. */
#ifndef QUORUM_SERVE_MHD_H
#define QUORUM_SERVE_MHD_H

#include <microhttpd.h>

typedef struct mhd {
    __typeof__(MHD_start_daemon) *start_daemon;
    __typeof__(MHD_stop_daemon) *stop_daemon;
    __typeof__(MHD_quiesce_daemon) *quiesce_daemon;
    __typeof__(MHD_suspend_connection) *suspend_connection;
    __typeof__(MHD_resume_connection) *resume_connection;
    __typeof__(MHD_lookup_connection_value) *lookup_connection_value;
    __typeof__(MHD_get_connection_info) *get_connection_info;
    __typeof__(MHD_create_response_from_buffer) *create_response_from_buffer;
    __typeof__(MHD_create_response_from_callback) *create_response_from_callback;
    __typeof__(MHD_add_response_header) *add_response_header;
    __typeof__(MHD_queue_response) *queue_response;
    __typeof__(MHD_destroy_response) *destroy_response;
} mhd;

/* Opens the library, which stays open. Q_NOTFOUND says what to install. */
int mhd_open(mhd *, char *err);

#endif
