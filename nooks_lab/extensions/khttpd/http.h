/*
 * HTTP/1.0 and HTTP/1.1 as a server of static pages needs them: requests taken
 * apart, heads of answers put together. Nothing here leaves the extension.
 */
#ifndef _KHTTPD_HTTP_H
#define _KHTTPD_HTTP_H

#include <linux/string.h>
#include <linux/types.h>

#define HTTP_MAX_REQUEST 4096
#define HTTP_MAX_URI 256
/* The head of an answer and the page of an error; a location has three bytes for each of the name. */
#define HTTP_MAX_HEAD (768 + 3 * HTTP_MAX_URI)
#define HTTP_MAX_TYPE 64

enum http_status {
	HTTP_OK = 200,
	HTTP_MOVED = 301,
	HTTP_BAD_REQUEST = 400,
	HTTP_NOT_FOUND = 404,
	HTTP_NOT_ALLOWED = 405,
	HTTP_TIMEOUT = 408,
	HTTP_URI_TOO_LONG = 414,
	HTTP_VERSION = 505
};

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_OTHER
};

struct http_request {
	enum http_method method;
	int minor;			/* of the version, HTTP/1.minor */
	unsigned int end;		/* where in the buffer the request ends */
	char name[HTTP_MAX_URI];	/* the path, without escapes, "." and ".." */
};

struct http_reply {
	int status;
	int minor;
	int head_only;
	time_t now;
	const char *type;		/* NULL: a page that says the status */
	unsigned int length;
	time_t modified;
	const char *location;		/* of HTTP_MOVED: a directory, without its slash */
};

/* A line of a request: without its end, which is CR LF or LF alone. */
struct http_line {
	const char *at;
	const char *end;
};

static inline const char *http_next_line(const char *at, const char *end, struct http_line *line)
{
	line->at = at;
	while (at < end && *at != '\n')
		at++;
	line->end = at > line->at && at < end && at[-1] == '\r' ? at - 1 : at;
	return at < end ? at + 1 : NULL;
}

/* An empty line ends a request's head; some before it are overlooked (RFC 2616, section 4.1). */
static inline int http_complete(const char *buffer, unsigned int length)
{
	const char *at = buffer, *end = buffer + length;
	struct http_line line;
	int lines = 0;

	while (at) {
		const char *next = http_next_line(at, end, &line);

		if (!next)
			return 0;
		if (line.at != line.end)
			lines++;
		else if (lines)
			return 1;
		at = next;
	}
	return 0;
}

/* What to say of a request that does not fit: it is the URI when not even its line does. */
static inline int http_too_long(const char *buffer, unsigned int length)
{
	struct http_line line;

	return http_next_line(buffer, buffer + length, &line) ? HTTP_BAD_REQUEST : HTTP_URI_TOO_LONG;
}

/* A token's characters (RFC 2616, section 2.2). */
static inline int http_is_token(char c)
{
	const char *separators = "()<>@,;:\\\"/[]?={} \t";

	if (c <= 0x20 || c >= 0x7f)
		return 0;
	while (*separators)
		if (c == *separators++)
			return 0;
	return 1;
}

static inline int http_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline int http_begins(const char *at, const char *end, const char *text)
{
	for (; *text; text++, at++)
		if (at == end || (*at | 0x20) != *text)
			return 0;
	return 1;
}

/* Forget the last part of a path; 0 when there is none, and the path would leave the root. */
static inline int http_step_up(char *name, unsigned int *length)
{
	unsigned int at = *length;

	/* The path ends in "/.." here: that, and the part before it. */
	at -= 3;
	if (!at)
		return 0;
	while (name[--at] != '/')
		;
	*length = at + 1;
	return 1;
}

/*
 * Take escapes, "." and ".." out of a path. The result begins with a slash and
 * never leads above its root: each part is looked at when it is complete.
 */
static inline int http_decode_path(const char *at, const char *end, char *name)
{
	unsigned int length = 0, part = 0;
	int done = 0, c, high, low;

	while (!done) {
		done = at == end || *at == '?' || *at == '#';
		c = done ? '/' : (unsigned char)*at++;
		if (!done && c == '%') {
			if (end - at < 2 || (high = http_hex(at[0])) < 0 || (low = http_hex(at[1])) < 0)
				return HTTP_BAD_REQUEST;
			c = high << 4 | low;
			at += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return HTTP_BAD_REQUEST;
		if (c == '/' && length) {
			unsigned int size = length - part;

			if (size == 2 && name[part] == '.' && name[part + 1] == '.') {
				if (!http_step_up(name, &length))
					return HTTP_BAD_REQUEST;
				part = length;
				continue;
			}
			if (size == 1 && name[part] == '.')
				length = part;
			/* A slash behind a slash says nothing; nor does the one that was put behind the end. */
			if (length == part || done) {
				part = length;
				continue;
			}
		}
		if (length == HTTP_MAX_URI - 1)
			return HTTP_URI_TOO_LONG;
		name[length++] = c;
		if (c == '/')
			part = length;
	}
	name[length] = '\0';
	return HTTP_OK;
}

static inline int http_parse_uri(const char *at, const char *end, char *name)
{
	if (http_begins(at, end, "http://")) {
		for (at += 7; at < end && *at != '/'; at++)
			;
		if (at == end)
			return http_decode_path("/", (const char *)"/" + 1, name);
	}
	if (at == end || *at != '/')
		return HTTP_BAD_REQUEST;
	return http_decode_path(at, end, name);
}

/* METHOD SP URI SP HTTP/1.x; the answer to a wrong method waits until the rest is known to be sound. */
static inline int http_parse_request_line(struct http_line line, struct http_request *request)
{
	const char *at = line.at, *word = at;
	int status;

	while (at < line.end && http_is_token(*at))
		at++;
	if (at == word || at == line.end || *at != ' ')
		return HTTP_BAD_REQUEST;
	request->method = HTTP_OTHER;
	if (at - word == 3 && !memcmp(word, "GET", 3))
		request->method = HTTP_GET;
	if (at - word == 4 && !memcmp(word, "HEAD", 4))
		request->method = HTTP_HEAD;
	word = ++at;
	while (at < line.end && *at > 0x20 && *at < 0x7f)
		at++;
	if (at == line.end || *at != ' ')
		return HTTP_BAD_REQUEST;
	status = http_parse_uri(word, at, request->name);
	if (status != HTTP_OK)
		request->name[0] = '\0';
	if (request->method == HTTP_OTHER && at - word == 1 && *word == '*')
		status = HTTP_OK;
	at++;
	if (line.end - at != 8 || memcmp(at, "HTTP/", 5) || at[6] != '.')
		return HTTP_BAD_REQUEST;
	if (at[5] < '0' || at[5] > '9' || at[7] < '0' || at[7] > '9')
		return HTTP_BAD_REQUEST;
	if (at[5] != '1')
		return HTTP_VERSION;
	request->minor = at[7] > '0';
	return status;
}

/* Take a complete request apart; returns the status to answer with. */
static inline int http_parse(const char *buffer, unsigned int length, struct http_request *request)
{
	const char *at = buffer, *end = buffer + length, *colon;
	struct http_line line;
	int status, host = 0;

	request->minor = 0;
	request->method = HTTP_GET;
	request->name[0] = '\0';
	do
		at = http_next_line(at, end, &line);
	while (line.at == line.end);
	status = http_parse_request_line(line, request);
	for (;;) {
		at = http_next_line(at, end, &line);
		if (line.at == line.end)
			break;
		if (*line.at == ' ' || *line.at == '\t')
			continue;
		for (colon = line.at; colon < line.end && http_is_token(*colon); colon++)
			;
		if (colon == line.at || colon == line.end || *colon != ':')
			return HTTP_BAD_REQUEST;
		while (++colon < line.end)
			if ((*colon & 0xe0) == 0 && *colon != '\t')
				return HTTP_BAD_REQUEST;
		host |= http_begins(line.at, line.end, "host:");
	}
	request->end = at - buffer;
	if (status == HTTP_OK && request->minor && !host)
		return HTTP_BAD_REQUEST;
	if (status == HTTP_OK && request->method == HTTP_OTHER)
		return HTTP_NOT_ALLOWED;
	return status;
}

/* Heads of answers. */

static inline char *http_put(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	return to;
}

static inline char *http_put_number(char *to, unsigned long number, int digits)
{
	char reversed[12];
	int length = 0;

	do {
		reversed[length++] = '0' + number % 10;
		number /= 10;
	} while (number || length < digits);
	while (length)
		*to++ = reversed[--length];
	return to;
}

/* As RFC 1123 has it: Sun, 19 Oct 2003 00:00:00 GMT. */
static inline char *http_put_date(char *to, time_t when)
{
	static const char days[] = "Thu\0Fri\0Sat\0Sun\0Mon\0Tue\0Wed";
	static const char months[] = "Mar\0Apr\0May\0Jun\0Jul\0Aug\0Sep\0Oct\0Nov\0Dec\0Jan\0Feb";
	unsigned long seconds = when, day = seconds / 86400, left, year, month;

	to = http_put(to, days + 4 * (day % 7));
	to = http_put(to, ", ");
	seconds %= 86400;
	/* Years begin in March here, so that a leap day is a year's last; day 0 is 1 March 1600. */
	day += 135080;
	left = day % 146097;
	year = 1600 + day / 146097 * 400;
	{
		unsigned long of_era = (left - left / 1460 + left / 36524 - left / 146096) / 365;

		year += of_era;
		left -= 365 * of_era + of_era / 4 - of_era / 100;
	}
	month = (5 * left + 2) / 153;
	to = http_put_number(to, left - (153 * month + 2) / 5 + 1, 2);
	*to++ = ' ';
	to = http_put(to, months + 4 * month);
	*to++ = ' ';
	to = http_put_number(to, year + (month >= 10), 4);
	*to++ = ' ';
	to = http_put_number(to, seconds / 3600, 2);
	*to++ = ':';
	to = http_put_number(to, seconds / 60 % 60, 2);
	*to++ = ':';
	to = http_put_number(to, seconds % 60, 2);
	return http_put(to, " GMT");
}

static inline const char *http_reason(int status)
{
	switch (status) {
	case HTTP_OK:
		return "OK";
	case HTTP_MOVED:
		return "Moved Permanently";
	case HTTP_BAD_REQUEST:
		return "Bad Request";
	case HTTP_NOT_FOUND:
		return "Not Found";
	case HTTP_NOT_ALLOWED:
		return "Method Not Allowed";
	case HTTP_TIMEOUT:
		return "Request Time-out";
	case HTTP_URI_TOO_LONG:
		return "Request-URI Too Large";
	}
	return "HTTP Version not supported";
}

/* What a file holds, by the end of its name. */
static inline const char *http_media_type(const char *name)
{
	static const struct {
		const char *ending;
		const char *type;
	} known[] = {
		{ ".html", "text/html" }, { ".htm", "text/html" }, { ".txt", "text/plain" },
		{ ".css", "text/css" }, { ".js", "text/javascript" }, { ".png", "image/png" },
		{ ".gif", "image/gif" }, { ".jpg", "image/jpeg" }, { ".jpeg", "image/jpeg" },
		{ ".svg", "image/svg+xml" },
	};
	const char *end = name + strlen(name);
	unsigned int i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		unsigned int length = strlen(known[i].ending);

		if (end - name > length && http_begins(end - length, end, known[i].ending))
			return known[i].type;
	}
	return "application/octet-stream";
}

/* The page that says an error: <html><title>404 Not Found</title>404 Not Found</html>. */
static inline char *http_put_error_page(char *to, int status)
{
	to = http_put(to, "<html><title>");
	to = http_put_number(to, status, 3);
	*to++ = ' ';
	to = http_put(to, http_reason(status));
	to = http_put(to, "</title><h1>");
	to = http_put_number(to, status, 3);
	*to++ = ' ';
	to = http_put(to, http_reason(status));
	return http_put(to, "</h1></html>\n");
}

/* A name as it stands in a URI: what might mean something else is escaped. */
static inline char *http_put_name(char *to, const char *name)
{
	static const char digits[] = "0123456789ABCDEF";

	/* Two slashes at the beginning would be followed by a host. */
	if (name[0] == '/' && name[1] == '/')
		to = http_put(to, "/.");
	for (; *name; name++) {
		unsigned char c = *name;

		if (c == '/' || c == '.' || c == '-' || c == '_' || (c >= '0' && c <= '9') ||
		    (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) {
			*to++ = c;
		} else {
			*to++ = '%';
			*to++ = digits[c >> 4];
			*to++ = digits[c & 15];
		}
	}
	return to;
}

/* Write an answer's head, and behind it the page of an error; returns how long they are. */
static inline unsigned int http_write_head(struct http_reply *reply, char *head)
{
	char *to = http_put(head, reply->minor ? "HTTP/1.1 " : "HTTP/1.0 ");
	char page[192];
	unsigned int error_length = 0;

	to = http_put_number(to, reply->status, 3);
	*to++ = ' ';
	to = http_put(to, http_reason(reply->status));
	to = http_put(to, "\r\nServer: kHTTPd/1.0\r\nDate: ");
	to = http_put_date(to, reply->now);
	if (reply->type) {
		to = http_put(to, "\r\nLast-Modified: ");
		to = http_put_date(to, reply->modified);
	} else {
		error_length = http_put_error_page(page, reply->status) - page;
		reply->length = error_length;
	}
	if (reply->status == HTTP_NOT_ALLOWED)
		to = http_put(to, "\r\nAllow: GET, HEAD");
	if (reply->status == HTTP_MOVED) {
		to = http_put(to, "\r\nLocation: ");
		to = http_put_name(to, reply->location);
		*to++ = '/';
	}
	to = http_put(to, "\r\nContent-Type: ");
	to = http_put(to, reply->type ? reply->type : "text/html");
	to = http_put(to, "\r\nContent-Length: ");
	to = http_put_number(to, reply->length, 1);
	to = http_put(to, "\r\nConnection: close\r\n\r\n");
	if (error_length && !reply->head_only) {
		memcpy(to, page, error_length);
		to += error_length;
	}
	return to - head;
}

#endif
