/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment32: for i386, without a C library. Executes itself, with an argument, in an
 * environment that sets NODE_OPTIONS, and that is longer than what is looked at if it had an
 * argument itself.
 */
#define NR_EXIT 1
#define NR_EXECVE 11

static char pad[40000];

static int call(int number, const void *a, const void *b, const void *c)
{
	int ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return ret;
}

/* What the kernel lays out at the stack's top: argc, argv. */
__attribute__((used)) static void begin(char **stack)
{
	int argc = (int)(long)stack[0];
	char *argv[] = {stack[1], "again", "more", 0};
	char *envp[] = {"A=1", pad, "NODE_OPTIONS=x", 0};

	if (argc > 2)
		call(NR_EXIT, 0, 0, 0);
	for (unsigned int i = 0; i < sizeof(pad) - 1; i++)
		pad[i] = 'x';
	pad[argc > 1 ? sizeof(pad) - 1 : 10] = 0;
	call(NR_EXIT, (void *)(long)-call(NR_EXECVE, stack[1], argv, envp), 0, 0);
}

__asm__(".globl _start\n_start:\n\tmovl %esp, %eax\n\tpushl %eax\n\tcall begin\n");
