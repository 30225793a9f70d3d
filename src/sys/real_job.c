/*
 * The real body: slow work.  Each queue is one thread, made when its first job comes (threads do
 * not survive a fork, and most processes need none), which works its jobs off in order:
 *
 *     loop's thread                          a queue's thread
 *     sys_job ──► todo ────────────────────► work()
 *     done() ◄── sys_wait ◄── eventfd ◄───── done list
 *
 * The surprise: work() runs beside the loop and may touch nothing but its argument.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sys/real_private.h"

static struct real_job *job_pop(struct real_jobs *jobs)
{
	struct real_job *job = STAILQ_FIRST(jobs);
	if (job)
		STAILQ_REMOVE_HEAD(jobs, next);
	return job;
}

static void *queue_main(void *arg)
{
	struct real_queue *queue = arg;
	struct sys *sys = queue->sys;
	uint64_t one = 1;
	pthread_mutex_lock(&sys->lock);
	for (;;) {
		struct real_job *job = job_pop(&queue->todo);
		if (!job && sys->stop)
			break;
		if (!job) {
			pthread_cond_wait(&queue->more, &sys->lock);
			continue;
		}
		pthread_mutex_unlock(&sys->lock);
		job->work(job->arg);
		pthread_mutex_lock(&sys->lock);
		STAILQ_INSERT_TAIL(&sys->done, job, next);
		if (write(sys->jobs_fd, &one, sizeof(one)) < 0)
			die("eventfd of the jobs: %s", sys_errno_text(errno));
	}
	pthread_mutex_unlock(&sys->lock);
	return NULL;
}

/* Signals are for the loop's thread, which expects them. */
static void queue_start(struct real_queue *queue)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int failure = pthread_create(&queue->thread, NULL, queue_main, queue);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failure)
		die("can't start a thread for slow work: %s", sys_errno_text(failure));
	queue->started = true;
}

static void tell_done(struct sys *sys)
{
	struct real_jobs done = STAILQ_HEAD_INITIALIZER(done);
	pthread_mutex_lock(&sys->lock);
	STAILQ_CONCAT(&done, &sys->done);
	pthread_mutex_unlock(&sys->lock);
	struct real_job *job;
	while ((job = job_pop(&done))) {
		sys->jobs_open--;
		if (job->done)
			job->done(job->arg);
		free(job);
	}
}

static void jobs_finished(void *arg)
{
	struct sys *sys = arg;
	uint64_t count;
	if (read(sys->jobs_fd, &count, sizeof(count)) >= 0)
		tell_done(sys);
}

void sys_job(struct sys *sys, enum sys_queue which, sys_work_fn *work, sys_done_fn *done, void *arg)
{
	struct real_queue *queue = &sys->queues[which];
	struct real_job *job = mem_new(sizeof(*job));
	*job = (struct real_job){.work = work, .done = done, .arg = arg};
	if (sys->jobs_fd < 0) {
		sys->jobs_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (sys->jobs_fd < 0)
			die("eventfd of the jobs: %s", sys_errno_text(errno));
		real_watch_new(sys, sys->jobs_fd, jobs_finished, sys);
	}
	sys->jobs_open++;
	pthread_mutex_lock(&sys->lock);
	STAILQ_INSERT_TAIL(&queue->todo, job, next);
	pthread_cond_signal(&queue->more);
	pthread_mutex_unlock(&sys->lock);
	if (!queue->started)
		queue_start(queue);
}

void real_jobs_init(struct sys *sys)
{
	sys->jobs_fd = -1;
	pthread_mutex_init(&sys->lock, NULL);
	STAILQ_INIT(&sys->done);
	for (int i = 0; i < SYS_QUEUES; i++) {
		sys->queues[i].sys = sys;
		STAILQ_INIT(&sys->queues[i].todo);
		pthread_cond_init(&sys->queues[i].more, NULL);
	}
}

void real_jobs_clear(struct sys *sys)
{
	pthread_mutex_lock(&sys->lock);
	sys->stop = true;
	for (int i = 0; i < SYS_QUEUES; i++)
		pthread_cond_signal(&sys->queues[i].more);
	pthread_mutex_unlock(&sys->lock);
	for (int i = 0; i < SYS_QUEUES; i++) {
		if (sys->queues[i].started)
			pthread_join(sys->queues[i].thread, NULL);
		pthread_cond_destroy(&sys->queues[i].more);
	}
	tell_done(sys);
	pthread_mutex_destroy(&sys->lock);
	if (sys->jobs_fd >= 0)
		close(sys->jobs_fd);
}
