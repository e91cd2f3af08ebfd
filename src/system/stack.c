/*
 * What Rust's start asks glibc: where the main thread's stack ends. glibc reads all of /proc/self/maps for the answer, at each
 * start, and each message is one start. Rust needs it for nothing but the words "has overflowed its stack". This answer is an error,
 * as pthread_getattr_np(3) may give one; then Rust leaves these words out, and SIGSEGV ends such a process, not SIGABRT
 * (docs/decisions/0061).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>

int pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes) {
    (void)thread;
    (void)attributes;
    return ENOSYS;
}
