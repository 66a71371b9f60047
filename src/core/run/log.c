/* log: one append-only file a run, the run's database.
 *
 * FORMAT, version 1; docs/LOG.md has each member. Integers are little-endian. The file is a head and then records, nothing else.
 *
 *   head, 32 bytes
 *     0  8  magic  77 66 2e 6c 6f 67 0d 0a  ("wf.log" CR LF: shows a transfer that changed line ends)
 *     8  4  version, 1
 *    12  4  bytes of this head, 32
 *    16  4  salt, random, of this run
 *    20  8  zero
 *    28  4  CRC32C of bytes 0..27
 *
 *   record, a multiple of 8 bytes, at a multiple of 8
 *     0  4  n: bytes of metadata and payload together
 *     4  1  type (enum wfi_rec)
 *     5  1  zero
 *     6  2  m: bytes of metadata, at most 3072 and at most n
 *     8  4  number of the call that it belongs to, 0 for none
 *    12  4  CRC32C, begun with the salt, of bytes 0..11, 16..23 and the n bytes that follow
 *    16  8  synced: all bytes of the file below this offset were known durable when the record was written
 *    24  m  metadata: a JSON object, or nothing
 *  24+m  n-m  payload
 *        0..7 zero bytes up to a multiple of 8
 *
 *   type     metadata                                             payload
 *   run      name wall script args settings (lengths) sha256      script, args, settings
 *            rules (of identities, WF_RULES; only in the first)
 *   resume   wall script args settings (lengths; script and       the same
 *            args 0 if as recorded)
 *   text                                                          the text
 *   call     path hash effect label phase model effort cwd        an effect's input
 *            system tools schema prompt (offsets of text records)
 *            limits changes replaces miss
 *   turn     prev aside fitted sent stop reason usage             the reply's content array, as it goes on the wire;
 *                                                                 empty if it has no block
 *   block    prev why id error                                    one content block of a user message, likewise
 *   intent   id name (none: what was intended last was not begun) a tool's input; of a script's effect the call has it
 *   reserve  tokens nano_usd (no more than this was used up)
 *            more_tokens more_nano_usd (lost replies may have cost so much beyond)
 *   done     kind json tool_errors_only attempts turns ms usage   the answer, or the error's message
 *   moved    from (number of the call whose answer it is)
 *   deliver  wall
 *   note     phase                                                the text
 *   end      outcome json census usage                            the run's value, or its error
 *   stop     outcome                                              why: the script was told of a stop; what it did
 *                                                                 from here to the next resume is not replayed
 *
 * INVARIANTS
 *   1. Bytes once written are never written again; the file only grows, but for the cut of a torn tail at a resume.
 *   2. Whatever a record refers to by offset or number stands before it in the file.
 *   3. What the outside has seen of a run (an answer delivered, an effect started, an end reported) was durable before.
 *   4. A record's `synced` is not above its own offset, and no more than a sync has confirmed (0 where none is asked for).
 *   5. The first record is `run`; there is no other `run`.
 *   6. The valid log is the longest prefix of whole, valid records. What follows it is either a torn tail, which was never
 *      known durable: it is cut; or damage: some record after it, valid by its CRC, says `synced` beyond the first bad
 *      byte: the log is refused with that byte's offset and left as it is. (Unsynced records may reach the disk out of
 *      order, so a good record after a bad one proves nothing else. Loss of a synced tail itself leaves no trace: it
 *      cannot be told from a crash before it was written.)
 *   7. Records of log bytes inside a log (a tool that reads a log, say) cannot pass for records: the salt differs, and a
 *      scan goes from record to record. Who knows the salt (it is no secret for those who may read the file) can have a record's
 *      payload hold bytes that look like a record of this log. No scan takes it for one: it starts inside of another's payload.
 *      It is looked at only if that very record is torn, and then all that it can do is to have the log refused (6), not read
 *      wrongly: an embedder that lets its agents read the log of their own run accepts that.
 *   8. A file that ends inside its head or its first record is an empty one. What begins as another file does is refused.
 *   9. Recovery twice is recovery once: a resume first makes the valid prefix durable, then appends. */
#include "log.h"

#define LOG_VERSION    1u
#define LOG_LOOK       4u      /* times the bytes of a tail are summed that are looked at for damage, */
#define LOG_LOOK_LEAST 262144u /* ... or so many */
static const uint8_t log_magic[8] = {0x77, 0x66, 0x2e, 0x6c, 0x6f, 0x67, 0x0d, 0x0a};

const char *wfi_rec_name(wfi_rec type) {
    static const char *const names[WFI_REC_COUNT] = {"?",     "run",     "resume", "text",    "call",
                                                     "turn",  "block",   "intent", "reserve", "done",
                                                     "moved", "deliver", "note",   "end",     "stop"};
    return type < WFI_REC_COUNT ? names[type] : "?";
}

static wf_status log_fail(wfi_log *l, wf_status code, const char *text, uint64_t offset) {
    l->error.code = code;
    l->error.text = text;
    l->error.offset = offset;
    return code;
}

void wfi_log_init(wfi_log *l, const wf_log_ops *ops, void *ctx, void *buf, size_t cap, wf_sync mode) {
    WFI_ASSERT(cap >= WFI_LOG_BUFFER_MIN);
    wfi_zero(l, sizeof *l);
    l->ops = ops;
    l->ctx = ctx;
    l->buf = buf;
    l->cap = cap;
    l->mode = mode;
}

uint64_t wfi_log_end(const wfi_log *l) {
    return l->base + l->fill;
}

bool wfi_log_durable(const wfi_log *l, uint64_t end) {
    return end <= l->synced;
}

/* ---- writing ---- */

static wf_status log_write_all(wfi_log *l, const uint8_t *p, size_t n) {
    while (n > 0) {
        size_t put = 0;
        wf_status s = l->ops->write(l->ctx, l->flushed, p, n, &put);
        if (s != WF_OK || put == 0 || put > n) return log_fail(l, WF_E_IO, "the log could not be written", l->flushed);
        l->flushed += put;
        p += put;
        n -= put;
    }
    return WF_OK;
}

wf_status wfi_log_flush(wfi_log *l) {
    if (l->error.code != WF_OK) return l->error.code;
    uint64_t end = wfi_log_end(l);
    return l->flushed < end ? log_write_all(l, l->buf + (l->flushed - l->base), (size_t)(end - l->flushed)) : WF_OK;
}

/* Makes room: what the buffer holds is written out and forgotten. */
static wf_status log_turn(wfi_log *l) {
    wf_status s = wfi_log_flush(l);
    if (s != WF_OK) return s;
    l->base = l->flushed;
    l->fill = 0;
    return WF_OK;
}

static wf_status log_put(wfi_log *l, const void *p, size_t n) {
    const uint8_t *from = p;
    while (n > 0) {
        if (l->fill == l->cap) {
            wf_status s = log_turn(l);
            if (s != WF_OK) return s;
        }
        size_t room = l->cap - l->fill, take = n < room ? n : room;
        wfi_copy(l->buf + l->fill, from, take);
        l->fill += take;
        from += take;
        n -= take;
    }
    return WF_OK;
}

wf_status wfi_log_create(wfi_log *l, uint32_t salt) {
    uint8_t head[WFI_LOG_FIRST] = {0};
    wfi_copy(head, log_magic, sizeof log_magic);
    wfi_put32(head + 8, LOG_VERSION);
    wfi_put32(head + 12, WFI_LOG_FIRST);
    wfi_put32(head + 16, salt);
    wfi_put32(head + 28, wfi_crc32c(0, head, 28));
    if (l->file_size > 0 && l->ops->cut(l->ctx, 0) != WF_OK)
        return log_fail(l, WF_E_IO, "what an earlier try left of the log could not be cut", 0);
    l->file_size = 0;
    l->window_len = 0;
    l->salt = salt;
    l->fill = 0;
    l->base = l->flushed = l->synced = l->wanted = 0;
    return log_put(l, head, sizeof head);
}

static uint32_t log_crc_head(const wfi_log *l, const uint8_t head[WFI_LOG_HEAD]) {
    return wfi_crc32c(wfi_crc32c(l->salt, head, 12), head + 16, 8);
}

wf_status wfi_log_append(wfi_log *l, wfi_rec type, uint32_t call, wf_str meta, const wf_str *parts, size_t count,
                         uint64_t *offset, uint64_t *end) {
    static const uint8_t zeros[8] = {0};
    uint8_t head[WFI_LOG_HEAD] = {0};
    uint64_t n = meta.len, at = wfi_log_end(l);
    if (l->error.code != WF_OK) return l->error.code;
    for (size_t i = 0; i < count; i++)
        n += parts[i].len;
    if (meta.len > WFI_LOG_META_MAX || n > UINT32_MAX - 64) return WF_E_LIMIT;
    wfi_put32(head, (uint32_t)n);
    head[4] = (uint8_t)type;
    wfi_put16(head + 6, (uint16_t)meta.len);
    wfi_put32(head + 8, call);
    wfi_put64(head + 16, l->mode == WF_SYNC_OFF ? 0 : l->synced);
    uint32_t crc = wfi_crc32c(log_crc_head(l, head), meta.ptr, meta.len);
    for (size_t i = 0; i < count; i++)
        crc = wfi_crc32c(crc, parts[i].ptr, parts[i].len);
    wfi_put32(head + 12, crc);

    wf_status s = log_put(l, head, sizeof head);
    if (s == WF_OK) s = log_put(l, meta.ptr, meta.len);
    for (size_t i = 0; i < count && s == WF_OK; i++)
        s = log_put(l, parts[i].ptr, parts[i].len);
    if (s == WF_OK) s = log_put(l, zeros, (size_t)(-(int64_t)n & 7));
    if (s != WF_OK) return s;
    if (offset) *offset = at;
    if (end) *end = wfi_log_end(l);
    if (l->mode == WF_SYNC_ALWAYS) wfi_log_want(l);
    return WF_OK;
}

void wfi_log_want(wfi_log *l) {
    l->wanted = wfi_log_end(l);
}

/* Group commit: one sync at a time; whoever asks while it runs is served by the next. */
wf_status wfi_log_pump(wfi_log *l) {
    if (l->error.code != WF_OK) return l->error.code;
    while (l->syncing || l->wanted > l->synced) {
        wf_status s = l->syncing ? WF_OK : wfi_log_flush(l);
        if (s != WF_OK) return s;
        if (!l->syncing) {
            l->target = l->flushed;
            l->syncing = true;
            l->syncs += l->mode != WF_SYNC_OFF || l->synced == 0;
        }
        /* with syncs off, one is still made: a new file gets its name by it */
        bool skip = l->mode == WF_SYNC_OFF && l->synced > 0;
        s = skip ? WF_OK : l->ops->sync(l->ctx);
        if (s == WF_AGAIN) return WF_AGAIN;
        if (s != WF_OK)
            return log_fail(l, WF_E_IO, "the log could not be synced; what it holds on disk is unknown", l->target);
        l->syncing = false;
        l->synced = l->target;
    }
    return WF_OK;
}

/* ---- reading ---- */

static wf_status log_read_file(wfi_log *l, uint64_t at, uint8_t *to, size_t n) {
    while (n > 0) {
        size_t got = 0;
        wf_status s = l->ops->read(l->ctx, at, to, n, &got);
        if (s != WF_OK || got == 0 || got > n) return log_fail(l, WF_E_IO, "the log could not be read", at);
        at += got;
        to += got;
        n -= got;
    }
    return WF_OK;
}

void wfi_log_keep(wfi_log *l, void *room, size_t size) {
    size_t block = 1;
    while (block * 2 * WFI_LOG_BLOCKS <= size)
        block *= 2;
    l->kept = room;
    l->block_size = size >= WFI_LOG_BLOCKS ? block : 0;
}

/* A small part of what is written out, by way of the blocks. What is written never changes, so a block is right as far as it
 * reaches; it reaches as far as the file did when it was read. */
static wf_status log_read_kept(wfi_log *l, uint64_t at, uint8_t *to, size_t n) {
    for (size_t take; n > 0; at += take, to += take, n -= take) {
        size_t skip = (size_t)(at & (l->block_size - 1)), room = l->block_size - skip;
        uint64_t base = at - skip, left = l->flushed - base;
        size_t i = (size_t)(base / l->block_size % WFI_LOG_BLOCKS);
        wfi_log_block *block = &l->blocks[i];
        uint8_t *bytes = l->kept + i * l->block_size;
        take = n < room ? n : room;
        if (block->at != base || block->len < skip + take) {
            size_t len = left < l->block_size ? (size_t)left : l->block_size;
            block->len = 0;
            wf_status s = log_read_file(l, base, bytes, len);
            if (s != WF_OK) return s;
            block->at = base;
            block->len = len;
        }
        wfi_copy(to, bytes + skip, take);
    }
    return WF_OK;
}

wf_status wfi_log_read(wfi_log *l, uint64_t at, void *to, size_t n) {
    uint8_t *p = to;
    if (at > wfi_log_end(l) || n > wfi_log_end(l) - at)
        return log_fail(l, WF_E_CORRUPT, "a record of the log refers to what is beyond its end", at);
    if (at < l->base) {
        uint64_t part = l->base - at;
        size_t take = part < n ? (size_t)part : n;
        wf_status s = take < l->block_size ? log_read_kept(l, at, p, take) : log_read_file(l, at, p, take);
        if (s != WF_OK) return s;
        at += take;
        p += take;
        n -= take;
    }
    if (n > 0) wfi_copy(p, l->buf + (at - l->base), n);
    return WF_OK;
}

static void log_parse_head(const uint8_t *head, uint64_t at, wfi_log_rec *out, uint32_t *meta_len) {
    uint32_t n = wfi_get32(head), m = (uint32_t)head[6] | (uint32_t)head[7] << 8;
    wfi_zero(out, sizeof *out);
    out->type = (wfi_rec)head[4];
    out->call = wfi_get32(head + 8);
    out->offset = at;
    out->synced = wfi_get64(head + 16);
    out->next = at + WFI_LOG_HEAD + (((uint64_t)n + 7) & ~(uint64_t)7);
    out->payload = at + WFI_LOG_HEAD + m;
    out->payload_len = n - m;
    *meta_len = m;
}

wf_status wfi_log_peek(wfi_log *l, uint64_t at, wfi_log_rec *out, uint32_t *meta_len) {
    uint8_t head[WFI_LOG_HEAD];
    wf_status s = wfi_log_read(l, at, head, sizeof head);
    if (s == WF_OK) log_parse_head(head, at, out, meta_len);
    return s;
}

/* ---- scanning: nothing waits to be written, so buf is free to be a window of the file ---- */

/* Makes the n bytes at `at` visible; n is at most the buffer's size and the bytes are inside the file. */
static wf_status log_window(wfi_log *l, uint64_t at, size_t n, const uint8_t **out) {
    WFI_ASSERT(n <= l->cap && at + n <= l->file_size && l->fill == 0);
    if (at < l->window || at + n > l->window + l->window_len) {
        uint64_t left = l->file_size - at;
        size_t take = left < l->cap ? (size_t)left : l->cap;
        l->window_len = 0;
        wf_status s = log_read_file(l, at, l->buf, take);
        if (s != WF_OK) return s;
        l->window = at;
        l->window_len = take;
    }
    *out = l->buf + (at - l->window);
    return WF_OK;
}

wf_status wfi_log_load(wfi_log *l) {
    const uint8_t *head;
    wf_status s = l->ops->size(l->ctx, &l->file_size);
    if (s != WF_OK) return log_fail(l, WF_E_IO, "the log's size could not be read", 0);
    if (l->file_size == 0) return WF_END;
    l->base = l->flushed = l->file_size;
    size_t n = l->file_size < WFI_LOG_FIRST ? (size_t)l->file_size : WFI_LOG_FIRST;
    if ((s = log_window(l, 0, n, &head)) != WF_OK) return s;
    if (wfi_compare(head, log_magic, n < sizeof log_magic ? n : sizeof log_magic) != 0)
        return log_fail(l, WF_E_FOREIGN, "the file does not begin as a workflow log does", 0);
    if (n < WFI_LOG_FIRST) return WF_END; /* the very first write was torn, so nobody has seen anything of the run */
    if (wfi_get32(head + 28) != wfi_crc32c(0, head, 28))
        return log_fail(l, WF_E_CORRUPT, "the log's head is damaged", 0);
    if (wfi_get32(head + 8) != LOG_VERSION || wfi_get32(head + 12) != WFI_LOG_FIRST)
        return log_fail(l, WF_E_FUTURE, "the log was written by a newer version", 8);
    l->salt = wfi_get32(head + 16);
    return WF_OK;
}

/* CRC of a record's body, in pieces of the window's size. */
static wf_status log_crc_body(wfi_log *l, uint64_t at, uint64_t n, uint32_t *crc) {
    while (n > 0) {
        const uint8_t *p;
        size_t take = n < l->cap ? (size_t)n : l->cap;
        wf_status s = log_window(l, at, take, &p);
        if (s != WF_OK) return s;
        *crc = wfi_crc32c(*crc, p, take);
        at += take;
        n -= take;
    }
    return WF_OK;
}

/* WF_OK: a valid record is there; WF_END: there is none. */
static wf_status log_check(wfi_log *l, uint64_t at, wfi_log_rec *out) {
    const uint8_t *p;
    uint8_t head[WFI_LOG_HEAD];
    uint32_t meta_len;
    if (at + WFI_LOG_HEAD > l->file_size) return WF_END;
    wf_status s = log_window(l, at, WFI_LOG_HEAD, &p);
    if (s != WF_OK) return s;
    wfi_copy(head, p, sizeof head);
    log_parse_head(head, at, out, &meta_len);
    if (head[4] == 0 || head[5] != 0 || meta_len > WFI_LOG_META_MAX || meta_len > wfi_get32(head)) return WF_END;
    if (out->next > l->file_size || out->synced > at) return WF_END;
    uint32_t crc = log_crc_head(l, head);
    s = log_crc_body(l, at + WFI_LOG_HEAD, wfi_get32(head), &crc);
    if (s != WF_OK) return s;
    if (crc != wfi_get32(head + 12)) return WF_END;
    if (meta_len > 0 && (s = log_window(l, at + WFI_LOG_HEAD, meta_len, &p)) != WF_OK) return s;
    out->meta = wf_str_of((const char *)p, meta_len);
    return WF_OK;
}

/* Invariant 6: is there, after the first bad byte, a valid record that knew it durable? Cheap tests come first, so that
 * the work stays linear unless somebody made the file to be slow; then it is bounded by the bytes that are summed, and what is
 * not looked at to its end is not cut. */
static wf_status log_look_for_damage(wfi_log *l, uint64_t bad) {
    uint64_t work = LOG_LOOK * (l->file_size - bad) + LOG_LOOK_LEAST;
    for (uint64_t at = bad + 8; at + WFI_LOG_HEAD <= l->file_size; at += 8) {
        const uint8_t *p;
        wfi_log_rec rec;
        wf_status s = log_window(l, at, WFI_LOG_HEAD, &p);
        if (s != WF_OK) return s;
        uint64_t synced = wfi_get64(p + 16);
        if (synced <= bad || synced > at || p[4] == 0 || p[5] != 0) continue;
        uint64_t cost = WFI_LOG_HEAD + (uint64_t)wfi_get32(p);
        if (cost > l->file_size - at) continue; /* it cannot be whole */
        if (cost > work)
            return log_fail(l, WF_E_CORRUPT,
                            "the log's tail is damaged or made to look so; cut the file at this offset to go on", bad);
        work -= cost;
        s = log_check(l, at, &rec);
        if (s == WF_OK) return log_fail(l, WF_E_CORRUPT, "the log is damaged below bytes that were known durable", bad);
        if (s != WF_END) return s;
    }
    return WF_END;
}

wf_status wfi_log_scan(wfi_log *l, uint64_t at, wfi_log_rec *out) {
    wf_status s = log_check(l, at, out);
    if (s == WF_END) return at < l->file_size ? log_look_for_damage(l, at) : WF_END;
    if (s == WF_OK && out->type >= WFI_REC_COUNT)
        return log_fail(l, WF_E_FUTURE, "the log holds a kind of record that only a newer version knows", at);
    return s;
}

bool wfi_log_is_cut_off(wfi_log *l, uint64_t at) {
    const uint8_t *p;
    wfi_log_rec rec;
    uint32_t meta_len;
    if (at + WFI_LOG_HEAD > l->file_size) return true;
    if (log_window(l, at, WFI_LOG_HEAD, &p) != WF_OK) return false;
    log_parse_head(p, at, &rec, &meta_len);
    return rec.next > l->file_size;
}

wf_status wfi_log_resume(wfi_log *l, uint64_t end) {
    wfi_zero(l->blocks, sizeof l->blocks); /* they may hold some of the tail */
    if (end < l->file_size && l->ops->cut(l->ctx, end) != WF_OK)
        return log_fail(l, WF_E_IO, "the log's torn tail could not be cut", end);
    l->base = l->flushed = end;
    l->window_len = 0;
    l->synced = 0; /* what was read may still be only in the system's memory: invariant 9 */
    wfi_log_want(l);
    return WF_OK;
}
