/*
 * The heap of a process: malloc and its family, linked by `ld --wrap` to what is below.
 *
 *     | head: size, heap, neighbours, magic | the caller's bytes ... |
 *     ^ from the real malloc                ^ what the caller gets, aligned to 16
 *
 * Each block knows its heap, so that freeing needs no care, whichever heap is current.  What
 * surprises: a block may come from inside libc (strdup() within a library), where nothing is
 * wrapped, and be freed by us: the magic, made of the block's own address, tells.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "sim/process.h"

#define MAGIC UINT64_C(0x6d61696c77656972)

struct head {
	size_t size;
	struct sim_heap *heap; /* NULL: nobody's */
	LIST_ENTRY(head) next;
	uint64_t magic; /* ^ the head's address */
	void *base;     /* what the real malloc gave; its low bits are 0, see is_ours() */
};
_Static_assert(sizeof(struct head) % 16 == 0, "the caller's bytes must be aligned");

struct sim_heap {
	LIST_HEAD(, head) blocks;
	size_t bytes, count, peak;
	uint64_t calls, fail_at;
};

static struct sim_heap *current;

/* ld gives these the names; no header has them. */
void *__real_malloc(size_t size);
void __real_free(void *at);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);
void *__wrap_reallocarray(void *at, size_t count, size_t size);
void __wrap_free(void *at);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t max);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **at_r, size_t alignment, size_t size);

/* ---- blocks ---- */

static uint64_t magic_of(const struct head *head)
{
	return MAGIC ^ (uint64_t)(uintptr_t)head;
}

/*
 * Looks in front of a block that may not be ours, so the sanitizer mustn't.  The word right before
 * it is our `base`, or glibc's size: one with the bit for "mapped by itself" has nothing readable
 * further in front.
 */
__attribute__((no_sanitize("address"))) static bool is_ours(const void *at)
{
	const struct head *head = (const struct head *)at - 1;
	return ((uintptr_t)head->base & 2) == 0 && head->magic == magic_of(head);
}

static bool planned_to_fail(struct sim_heap *heap)
{
	if (!heap)
		return false;
	heap->calls++;
	return heap->fail_at > 0 && --heap->fail_at == 0;
}

static void block_link(struct head *head, struct sim_heap *heap)
{
	head->heap = heap;
	head->magic = magic_of(head);
	if (!heap)
		return;
	LIST_INSERT_HEAD(&heap->blocks, head, next);
	heap->count++;
	heap->bytes += head->size;
	if (heap->bytes > heap->peak)
		heap->peak = heap->bytes;
}

static void block_unlink(struct head *head)
{
	struct sim_heap *heap = head->heap;
	head->magic = 0;
	if (!heap)
		return;
	LIST_REMOVE(head, next);
	heap->count--;
	heap->bytes -= head->size;
}

/* In the heap given, without asking whether it shall fail. */
static void *block_new(struct sim_heap *heap, size_t alignment, size_t size)
{
	size_t slack = alignment > 16 ? alignment : 0;
	if (size > SIZE_MAX / 2) {
		errno = ENOMEM;
		return NULL;
	}
	char *base = __real_malloc(sizeof(struct head) + slack + size);
	if (!base)
		return NULL;
	uintptr_t at = (uintptr_t)base + sizeof(struct head);
	if (slack)
		at = (at + alignment - 1) / alignment * alignment;
	struct head *head = (struct head *)at - 1;
	head->size = size;
	head->base = base;
	block_link(head, heap);
	return (void *)at;
}

static void *block_asked(size_t alignment, size_t size)
{
	if (planned_to_fail(current)) {
		errno = ENOMEM;
		return NULL;
	}
	return block_new(current, alignment, size);
}

static void block_free(struct head *head)
{
	block_unlink(head);
	__real_free(head->base);
}

/* ---- malloc and its family ---- */

void *__wrap_malloc(size_t size)
{
	return block_asked(0, size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	size_t all;
	if (__builtin_mul_overflow(count, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	void *at = block_asked(0, all);
	if (at)
		memset(at, 0, all);
	return at;
}

void __wrap_free(void *at)
{
	if (!at)
		return;
	if (is_ours(at))
		block_free((struct head *)at - 1);
	else
		__real_free(at);
}

/* Always moves: whoever kept a pointer into the old place is found out.  It stays in its heap. */
void *__wrap_realloc(void *at, size_t size)
{
	if (!at)
		return __wrap_malloc(size);
	if (!is_ours(at))
		die("realloc() of a block that comes from inside a library");
	struct head *head = (struct head *)at - 1;
	struct sim_heap *heap = head->heap;
	if (planned_to_fail(heap)) {
		errno = ENOMEM;
		return NULL;
	}
	void *moved = block_new(heap, 0, size);
	if (!moved)
		return NULL;
	memcpy(moved, at, head->size < size ? head->size : size);
	block_free(head);
	return moved;
}

void *__wrap_reallocarray(void *at, size_t count, size_t size)
{
	size_t all;
	if (__builtin_mul_overflow(count, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return __wrap_realloc(at, all);
}

char *__wrap_strndup(const char *string, size_t max)
{
	size_t len = strnlen(string, max);
	char *copy = __wrap_malloc(len + 1);
	if (copy) {
		memcpy(copy, string, len);
		copy[len] = '\0';
	}
	return copy;
}

char *__wrap_strdup(const char *string)
{
	return __wrap_strndup(string, strlen(string));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return block_asked(alignment, size);
}

int __wrap_posix_memalign(void **at_r, size_t alignment, size_t size)
{
	void *at = block_asked(alignment, size);
	if (!at)
		return ENOMEM;
	*at_r = at;
	return 0;
}

/* ---- heaps ---- */

struct sim_heap *sim_heap_new(void)
{
	struct sim_heap *heap = __real_malloc(sizeof(*heap));
	if (!heap)
		die("out of memory");
	*heap = (struct sim_heap){.count = 0};
	return heap;
}

void sim_heap_free(struct sim_heap **heapp)
{
	struct sim_heap *heap = *heapp;
	struct head *head;
	*heapp = NULL;
	if (!heap)
		return;
	if (current == heap)
		current = NULL;
	while ((head = LIST_FIRST(&heap->blocks)))
		block_free(head);
	__real_free(heap);
}

void sim_heap_enter(struct sim_heap *heap)
{
	current = heap;
}

struct sim_heap *sim_heap_current(void)
{
	return current;
}

size_t sim_heap_bytes(const struct sim_heap *heap)
{
	return heap->bytes;
}

size_t sim_heap_blocks(const struct sim_heap *heap)
{
	return heap->count;
}

size_t sim_heap_peak(const struct sim_heap *heap)
{
	return heap->peak;
}

uint64_t sim_heap_calls(const struct sim_heap *heap)
{
	return heap->calls;
}

void sim_heap_fail(struct sim_heap *heap, uint64_t n)
{
	heap->fail_at = n;
}
