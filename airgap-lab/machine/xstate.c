/* Debian 12's User-Mode Linux knows the state of a processor up to AVX-512, and stops on one that has more (AMX): Linux takes
 * a processor's state back from ptrace(2) only as a whole. This library, loaded before it, passes the whole on and lets it see
 * and change the part that it knows. */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* AMX needs 11 KB. A kernel's stack has no room for it, and only one thread traces. */
static char whole_state[64 << 10];

static long state(int request, long pid, struct iovec *known)
{
	struct iovec whole = { whole_state, sizeof whole_state };
	long result = syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &whole);
	if (result < 0)
		return result;
	if (known->iov_len > whole.iov_len)
		known->iov_len = whole.iov_len;
	if (request == PTRACE_GETREGSET) {
		memcpy(known->iov_base, whole_state, known->iov_len);
		return result;
	}
	memcpy(whole_state, known->iov_base, known->iov_len);
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	long pid = va_arg(arguments, pid_t);
	void *address = va_arg(arguments, void *);
	void *data = va_arg(arguments, void *);
	va_end(arguments);

	if ((request == PTRACE_GETREGSET || request == PTRACE_SETREGSET) && (long)address == NT_X86_XSTATE)
		return state(request, pid, data);
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		/* The system call writes what the function of the C library gives back. */
		long word;
		long result = syscall(SYS_ptrace, request, pid, address, &word);
		return result < 0 ? result : word;
	}
	return syscall(SYS_ptrace, request, pid, address, data);
}
