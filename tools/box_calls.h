/* tools/box_calls: numbers of system calls, -1 where this machine or its headers have none. Private to box_rules.c. */
#ifndef TOOLS_BOX_CALLS_H
#define TOOLS_BOX_CALLS_H

#include <sys/syscall.h>

#ifdef SYS_ptrace
enum { BOX_NR_ptrace = SYS_ptrace };
#else
enum { BOX_NR_ptrace = -1 };
#endif
#ifdef SYS_process_vm_readv
enum { BOX_NR_process_vm_readv = SYS_process_vm_readv };
#else
enum { BOX_NR_process_vm_readv = -1 };
#endif
#ifdef SYS_process_vm_writev
enum { BOX_NR_process_vm_writev = SYS_process_vm_writev };
#else
enum { BOX_NR_process_vm_writev = -1 };
#endif
#ifdef SYS_kcmp
enum { BOX_NR_kcmp = SYS_kcmp };
#else
enum { BOX_NR_kcmp = -1 };
#endif
enum { BOX_NR_pidfd_getfd = 438 };
#ifdef SYS_keyctl
enum { BOX_NR_keyctl = SYS_keyctl };
#else
enum { BOX_NR_keyctl = -1 };
#endif
#ifdef SYS_add_key
enum { BOX_NR_add_key = SYS_add_key };
#else
enum { BOX_NR_add_key = -1 };
#endif
#ifdef SYS_request_key
enum { BOX_NR_request_key = SYS_request_key };
#else
enum { BOX_NR_request_key = -1 };
#endif
#ifdef SYS_mount
enum { BOX_NR_mount = SYS_mount };
#else
enum { BOX_NR_mount = -1 };
#endif
#ifdef SYS_umount2
enum { BOX_NR_umount2 = SYS_umount2 };
#else
enum { BOX_NR_umount2 = -1 };
#endif
#ifdef SYS_pivot_root
enum { BOX_NR_pivot_root = SYS_pivot_root };
#else
enum { BOX_NR_pivot_root = -1 };
#endif
#ifdef SYS_chroot
enum { BOX_NR_chroot = SYS_chroot };
#else
enum { BOX_NR_chroot = -1 };
#endif
enum { BOX_NR_move_mount = 429 };
enum { BOX_NR_open_tree = 428 };
enum { BOX_NR_fsopen = 430 };
enum { BOX_NR_fsconfig = 431 };
enum { BOX_NR_fsmount = 432 };
enum { BOX_NR_fspick = 433 };
enum { BOX_NR_mount_setattr = 442 };
#ifdef SYS_unshare
enum { BOX_NR_unshare = SYS_unshare };
#else
enum { BOX_NR_unshare = -1 };
#endif
#ifdef SYS_setns
enum { BOX_NR_setns = SYS_setns };
#else
enum { BOX_NR_setns = -1 };
#endif
#ifdef SYS_bpf
enum { BOX_NR_bpf = SYS_bpf };
#else
enum { BOX_NR_bpf = -1 };
#endif
#ifdef SYS_perf_event_open
enum { BOX_NR_perf_event_open = SYS_perf_event_open };
#else
enum { BOX_NR_perf_event_open = -1 };
#endif
enum { BOX_NR_io_uring_setup = 425 };
enum { BOX_NR_io_uring_enter = 426 };
enum { BOX_NR_io_uring_register = 427 };
#ifdef SYS_userfaultfd
enum { BOX_NR_userfaultfd = SYS_userfaultfd };
#else
enum { BOX_NR_userfaultfd = -1 };
#endif
#ifdef SYS_kexec_load
enum { BOX_NR_kexec_load = SYS_kexec_load };
#else
enum { BOX_NR_kexec_load = -1 };
#endif
#ifdef SYS_kexec_file_load
enum { BOX_NR_kexec_file_load = SYS_kexec_file_load };
#else
enum { BOX_NR_kexec_file_load = -1 };
#endif
#ifdef SYS_init_module
enum { BOX_NR_init_module = SYS_init_module };
#else
enum { BOX_NR_init_module = -1 };
#endif
#ifdef SYS_finit_module
enum { BOX_NR_finit_module = SYS_finit_module };
#else
enum { BOX_NR_finit_module = -1 };
#endif
#ifdef SYS_delete_module
enum { BOX_NR_delete_module = SYS_delete_module };
#else
enum { BOX_NR_delete_module = -1 };
#endif
#ifdef SYS_reboot
enum { BOX_NR_reboot = SYS_reboot };
#else
enum { BOX_NR_reboot = -1 };
#endif
#ifdef SYS_swapon
enum { BOX_NR_swapon = SYS_swapon };
#else
enum { BOX_NR_swapon = -1 };
#endif
#ifdef SYS_swapoff
enum { BOX_NR_swapoff = SYS_swapoff };
#else
enum { BOX_NR_swapoff = -1 };
#endif
#ifdef SYS_quotactl
enum { BOX_NR_quotactl = SYS_quotactl };
#else
enum { BOX_NR_quotactl = -1 };
#endif
#ifdef SYS_acct
enum { BOX_NR_acct = SYS_acct };
#else
enum { BOX_NR_acct = -1 };
#endif
#ifdef SYS_syslog
enum { BOX_NR_syslog = SYS_syslog };
#else
enum { BOX_NR_syslog = -1 };
#endif
#ifdef SYS_settimeofday
enum { BOX_NR_settimeofday = SYS_settimeofday };
#else
enum { BOX_NR_settimeofday = -1 };
#endif
#ifdef SYS_clock_settime
enum { BOX_NR_clock_settime = SYS_clock_settime };
#else
enum { BOX_NR_clock_settime = -1 };
#endif
#ifdef SYS_adjtimex
enum { BOX_NR_adjtimex = SYS_adjtimex };
#else
enum { BOX_NR_adjtimex = -1 };
#endif
#ifdef SYS_clock_adjtime
enum { BOX_NR_clock_adjtime = SYS_clock_adjtime };
#else
enum { BOX_NR_clock_adjtime = -1 };
#endif
#ifdef SYS_open_by_handle_at
enum { BOX_NR_open_by_handle_at = SYS_open_by_handle_at };
#else
enum { BOX_NR_open_by_handle_at = -1 };
#endif
#ifdef SYS_name_to_handle_at
enum { BOX_NR_name_to_handle_at = SYS_name_to_handle_at };
#else
enum { BOX_NR_name_to_handle_at = -1 };
#endif
#ifdef SYS_fanotify_init
enum { BOX_NR_fanotify_init = SYS_fanotify_init };
#else
enum { BOX_NR_fanotify_init = -1 };
#endif
#ifdef SYS_sethostname
enum { BOX_NR_sethostname = SYS_sethostname };
#else
enum { BOX_NR_sethostname = -1 };
#endif
#ifdef SYS_setdomainname
enum { BOX_NR_setdomainname = SYS_setdomainname };
#else
enum { BOX_NR_setdomainname = -1 };
#endif
#ifdef SYS_vhangup
enum { BOX_NR_vhangup = SYS_vhangup };
#else
enum { BOX_NR_vhangup = -1 };
#endif
#ifdef SYS_lookup_dcookie
enum { BOX_NR_lookup_dcookie = SYS_lookup_dcookie };
#else
enum { BOX_NR_lookup_dcookie = -1 };
#endif
#ifdef SYS_nfsservctl
enum { BOX_NR_nfsservctl = SYS_nfsservctl };
#else
enum { BOX_NR_nfsservctl = -1 };
#endif
#ifdef SYS_move_pages
enum { BOX_NR_move_pages = SYS_move_pages };
#else
enum { BOX_NR_move_pages = -1 };
#endif
#ifdef SYS_migrate_pages
enum { BOX_NR_migrate_pages = SYS_migrate_pages };
#else
enum { BOX_NR_migrate_pages = -1 };
#endif
enum { BOX_NR_clone3 = 435 };
#ifdef SYS_clone
enum { BOX_NR_clone = SYS_clone };
#else
enum { BOX_NR_clone = -1 };
#endif
#ifdef SYS_ioctl
enum { BOX_NR_ioctl = SYS_ioctl };
#else
enum { BOX_NR_ioctl = -1 };
#endif
#ifdef SYS_socket
enum { BOX_NR_socket = SYS_socket };
#else
enum { BOX_NR_socket = -1 };
#endif
#ifdef SYS_chmod
enum { BOX_NR_chmod = SYS_chmod };
#else
enum { BOX_NR_chmod = -1 };
#endif
#ifdef SYS_fchmod
enum { BOX_NR_fchmod = SYS_fchmod };
#else
enum { BOX_NR_fchmod = -1 };
#endif
#ifdef SYS_fchmodat
enum { BOX_NR_fchmodat = SYS_fchmodat };
#else
enum { BOX_NR_fchmodat = -1 };
#endif
#ifdef SYS_chown
enum { BOX_NR_chown = SYS_chown };
#else
enum { BOX_NR_chown = -1 };
#endif
#ifdef SYS_lchown
enum { BOX_NR_lchown = SYS_lchown };
#else
enum { BOX_NR_lchown = -1 };
#endif
#ifdef SYS_fchown
enum { BOX_NR_fchown = SYS_fchown };
#else
enum { BOX_NR_fchown = -1 };
#endif
#ifdef SYS_fchownat
enum { BOX_NR_fchownat = SYS_fchownat };
#else
enum { BOX_NR_fchownat = -1 };
#endif
#ifdef SYS_utime
enum { BOX_NR_utime = SYS_utime };
#else
enum { BOX_NR_utime = -1 };
#endif
#ifdef SYS_utimes
enum { BOX_NR_utimes = SYS_utimes };
#else
enum { BOX_NR_utimes = -1 };
#endif
#ifdef SYS_futimesat
enum { BOX_NR_futimesat = SYS_futimesat };
#else
enum { BOX_NR_futimesat = -1 };
#endif
#ifdef SYS_utimensat
enum { BOX_NR_utimensat = SYS_utimensat };
#else
enum { BOX_NR_utimensat = -1 };
#endif
#ifdef SYS_setxattr
enum { BOX_NR_setxattr = SYS_setxattr };
#else
enum { BOX_NR_setxattr = -1 };
#endif
#ifdef SYS_lsetxattr
enum { BOX_NR_lsetxattr = SYS_lsetxattr };
#else
enum { BOX_NR_lsetxattr = -1 };
#endif
#ifdef SYS_fsetxattr
enum { BOX_NR_fsetxattr = SYS_fsetxattr };
#else
enum { BOX_NR_fsetxattr = -1 };
#endif
#ifdef SYS_removexattr
enum { BOX_NR_removexattr = SYS_removexattr };
#else
enum { BOX_NR_removexattr = -1 };
#endif
#ifdef SYS_lremovexattr
enum { BOX_NR_lremovexattr = SYS_lremovexattr };
#else
enum { BOX_NR_lremovexattr = -1 };
#endif
#ifdef SYS_fremovexattr
enum { BOX_NR_fremovexattr = SYS_fremovexattr };
#else
enum { BOX_NR_fremovexattr = -1 };
#endif
#ifdef SYS_creat
enum { BOX_NR_creat = SYS_creat };
#else
enum { BOX_NR_creat = -1 };
#endif
#ifdef SYS_open
enum { BOX_NR_open = SYS_open };
#else
enum { BOX_NR_open = -1 };
#endif
#ifdef SYS_openat
enum { BOX_NR_openat = SYS_openat };
#else
enum { BOX_NR_openat = -1 };
#endif
#ifdef SYS_mknod
enum { BOX_NR_mknod = SYS_mknod };
#else
enum { BOX_NR_mknod = -1 };
#endif
#ifdef SYS_mknodat
enum { BOX_NR_mknodat = SYS_mknodat };
#else
enum { BOX_NR_mknodat = -1 };
#endif
enum { BOX_NR_fchmodat2 = 452 };
enum { BOX_NR_openat2 = 437 };
enum { BOX_NR_setxattrat = 463 };
enum { BOX_NR_removexattrat = 466 };
#ifdef SYS_prlimit64
enum { BOX_NR_prlimit64 = SYS_prlimit64 };
#else
enum { BOX_NR_prlimit64 = -1 };
#endif
#ifdef SYS_kill
enum { BOX_NR_kill = SYS_kill };
#else
enum { BOX_NR_kill = -1 };
#endif
#ifdef SYS_shmget
enum { BOX_NR_shmget = SYS_shmget };
#else
enum { BOX_NR_shmget = -1 };
#endif
#ifdef SYS_shmat
enum { BOX_NR_shmat = SYS_shmat };
#else
enum { BOX_NR_shmat = -1 };
#endif
#ifdef SYS_shmctl
enum { BOX_NR_shmctl = SYS_shmctl };
#else
enum { BOX_NR_shmctl = -1 };
#endif
#ifdef SYS_semget
enum { BOX_NR_semget = SYS_semget };
#else
enum { BOX_NR_semget = -1 };
#endif
#ifdef SYS_semop
enum { BOX_NR_semop = SYS_semop };
#else
enum { BOX_NR_semop = -1 };
#endif
#ifdef SYS_semtimedop
enum { BOX_NR_semtimedop = SYS_semtimedop };
#else
enum { BOX_NR_semtimedop = -1 };
#endif
#ifdef SYS_semctl
enum { BOX_NR_semctl = SYS_semctl };
#else
enum { BOX_NR_semctl = -1 };
#endif
#ifdef SYS_msgget
enum { BOX_NR_msgget = SYS_msgget };
#else
enum { BOX_NR_msgget = -1 };
#endif
#ifdef SYS_msgsnd
enum { BOX_NR_msgsnd = SYS_msgsnd };
#else
enum { BOX_NR_msgsnd = -1 };
#endif
#ifdef SYS_msgrcv
enum { BOX_NR_msgrcv = SYS_msgrcv };
#else
enum { BOX_NR_msgrcv = -1 };
#endif
#ifdef SYS_msgctl
enum { BOX_NR_msgctl = SYS_msgctl };
#else
enum { BOX_NR_msgctl = -1 };
#endif
#ifdef SYS_mq_open
enum { BOX_NR_mq_open = SYS_mq_open };
#else
enum { BOX_NR_mq_open = -1 };
#endif
#ifdef SYS_mq_unlink
enum { BOX_NR_mq_unlink = SYS_mq_unlink };
#else
enum { BOX_NR_mq_unlink = -1 };
#endif
enum { BOX_NR_open_tree_attr = 467 };

#endif
