/*
 * What servers offered in EHLO, kept over restarts: a balancer that starts while its servers are
 * down offers its clients what it offered before.  One line a server in the file `offers` of the
 * state directory: "pool/server SIZE KEYWORD ...".
 *
 * And a word in the log about a server that takes an extension away from its pool's listeners.
 */
#include <stdio.h>
#include <stdlib.h>

#include "board/logline.h"
#include "health/server.h"
#include "smtp/caps.h"

#define FILE_MAX   (1u << 20)
#define SAVE_AFTER (1 * SECOND)
#define SAVE_AGAIN (5 * SECOND) /* after a failure, such as a full disk */
/* Extensions that every server of a tier must have for a listener to offer them. */
#define SHARED (SMTP_CAP_8BITMIME | SMTP_CAP_SMTPUTF8 | SMTP_CAP_DSN | SMTP_CAP_ENHANCED)

struct health_saving { /* one job: it has its own copy of everything */
	char path[4096];
	struct buf text;
	struct err_text error;
	enum err err;
	struct health *health; /* NULL: gone meanwhile */
};

static bool path_of(const struct health *health, char *path_r, size_t room)
{
	const char *state = health->world.state;
	return state && snprintf(path_r, room, "%s/offers", state) < (int)room;
}

static struct span take_word(struct span *line)
{
	size_t end = span_find(*line, ' ');
	struct span word = {.at = line->at, .len = end};
	*line = span_from(*line, end < line->len ? end + 1 : end);
	return word;
}

static void read_line(struct health *health, struct span line)
{
	char name[BOARD_NAME];
	struct span word = take_word(&line);
	uint64_t size, known;
	snprintf(name, sizeof name, "%.*s", SPAN_ARG(word));
	int column = board_find(health->world.board, BOARD_SERVER, name);
	if (column < 0 || board_offered(health->world.board, column, &known) != 0)
		return;
	if (!span_to_u64(take_word(&line), UINT64_MAX, &size))
		return;
	uint32_t caps = SMTP_CAP_SEEN;
	while (line.len > 0)
		caps |= smtp_cap_of(take_word(&line));
	board_offer(health->world.board, column, caps, size);
}

static void remember_load(struct health *health)
{
	char path[4096];
	struct buf text = {0};
	struct err_text none;
	/* No file yet is the normal case of a first start; a damaged line is left out. */
	if (path_of(health, path, sizeof path) &&
		sys_file_read(path, FILE_MAX, &text, &none) == ERR_OK) {
		struct span rest = buf_span(&text);
		while (rest.len > 0) {
			size_t end = span_find(rest, '\n');
			read_line(health, (struct span){.at = rest.at, .len = end});
			rest = span_from(rest, end < rest.len ? end + 1 : end);
		}
	}
	buf_clear(&text);
}

static void work(void *arg)
{
	struct health_saving *saving = arg;
	saving->err = sys_file_replace(saving->path, buf_span(&saving->text), 0640, &saving->error);
}

static void log_state(struct health *health, const char *text)
{
	struct log_line line;
	log_begin(&line, &health->line, sys_wall(net_sys(health->world.loop)), LOG_EVENT_alarm);
	log_string(&line, LOG_reason, "state");
	log_string(&line, LOG_text, text);
	log_end(&line, health->world.board, health->world.row);
}

/* Said once, and once again when it is over. */
static void saved(struct health *health, const struct health_saving *saving)
{
	bool failed = saving->err != ERR_OK;
	health->saving = NULL;
	if (failed)
		net_timer_set(health->world.loop, &health->save,
			net_now(health->world.loop) + SAVE_AGAIN);
	if (failed != health->unsaved)
		log_state(
			health, failed ? saving->error.text : "what servers offer is saved again");
	health->unsaved = failed;
}

static void done(void *arg)
{
	struct health_saving *saving = arg;
	if (saving->health)
		saved(saving->health, saving);
	buf_clear(&saving->text);
	free(saving);
}

static void save(void *arg)
{
	struct health *health = arg;
	if (health->saving) { /* one at a time */
		net_timer_set(health->world.loop, &health->save,
			net_now(health->world.loop) + SAVE_AFTER);
		return;
	}
	struct health_saving *saving = mem_new(sizeof *saving);
	saving->health = health;
	if (!path_of(health, saving->path, sizeof saving->path)) {
		free(saving);
		return;
	}
	for (unsigned i = 0; i < health->servers; i++) {
		const struct health_server *server = &health->server[i];
		uint64_t size;
		uint32_t caps = board_offered(health->world.board, server->column, &size);
		if (caps == 0)
			continue;
		buf_addf(&saving->text, "%s/%s %llu ", server->pool_name, server->name,
			(unsigned long long)size);
		smtp_caps_text(caps, &saving->text);
		buf_add(&saving->text, "\n", 1);
	}
	health->saving = saving;
	sys_job(net_sys(health->world.loop), SYS_QUEUE_STATE, work, done, saving);
}

/* Others of the pool's tier have it, this one has not. */
static void name_the_spoiler(struct health_server *server, uint32_t caps)
{
	struct health *health = server->health;
	uint32_t others = 0;
	for (unsigned i = 0; i < health->servers; i++) {
		const struct health_server *other = &health->server[i];
		uint64_t size;
		if (other != server && other->pool_name == server->pool_name &&
			other->tier == server->tier)
			others |= board_offered(health->world.board, other->column, &size);
	}
	uint32_t missing = others & SHARED & ~caps;
	if (missing == 0)
		return;
	struct buf text = {0};
	struct log_line line;
	buf_add_text(&text,
		"its EHLO lacks what others of its pool have, so listeners do not offer it: ");
	smtp_caps_text(missing, &text);
	log_begin(&line, &health->line, sys_wall(net_sys(health->world.loop)), LOG_EVENT_alarm);
	log_string(&line, LOG_pool, server->pool_name);
	log_string(&line, LOG_server, server->name);
	log_string(&line, LOG_reason, "offer");
	log_text(&line, LOG_text, buf_span(&text));
	log_end(&line, health->world.board, health->world.row);
	buf_clear(&text);
}

void remember_offer(struct health_server *server, uint32_t caps, uint64_t size)
{
	struct health *health = server->health;
	uint64_t known_size;
	uint32_t known = board_offered(health->world.board, server->column, &known_size);
	bool first = server->caps == 0;
	server->caps = caps;
	board_offer(health->world.board, server->column, caps, size);
	if (known == caps && known_size == size && !first)
		return;
	name_the_spoiler(server, caps);
	if (known != caps || known_size != size)
		net_timer_set(health->world.loop, &health->save,
			net_now(health->world.loop) + SAVE_AFTER);
}

void remember_end(struct health *health)
{
	net_timer_clear(health->world.loop, &health->save);
	if (health->saving)
		health->saving->health = NULL;
}

void remember_begin(struct health *health)
{
	net_timer_init(&health->save, save, health);
	remember_load(health);
}
