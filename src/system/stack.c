/*
 * Two things that Rust's start does about stacks, at each start, and each message is one start. docs/decisions/0061 and 0064 have the
 * reasons.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/*
 * Where the main thread's stack ends. glibc reads all of /proc/self/maps for the answer. Rust needs it for nothing but the words
 * "has overflowed its stack". This answer is an error, as pthread_getattr_np(3) may give one; then Rust leaves these words out, and
 * SIGSEGV ends such a process, not SIGABRT.
 */
int pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes) {
    (void)thread;
    (void)attributes;
    return ENOSYS;
}

/*
 * The main thread's stack for Rust's handler of SIGSEGV and SIGBUS. Rust maps one, guards it and unmaps it again, unless there is one
 * already (sigaltstack(2)): this one, which is memory that the program has anyway. A handler's frame takes 3 KiB with AVX-512 and 11
 * KiB with AMX. Where the kernel wants more than this, the call fails, and Rust maps its own.
 */
static _Alignas(64) char handler_stack[32 * 1024];

__attribute__((constructor)) static void use_handler_stack(void) {
    const stack_t stack = {.ss_sp = handler_stack, .ss_flags = 0, .ss_size = sizeof handler_stack};
    (void)sigaltstack(&stack, NULL);
}
