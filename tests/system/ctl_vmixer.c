/*
 * vmixer: the controls of a virtual sound card for tests, as an ALSA external control plugin.
 *
 * Its state is a text file, one control a line, which a test may read and change behind everybody's back:
 *
 *   Mic Capture Volume|integer|0|16|rw|8,8
 *   Auto Gain Control|boolean|0|1|rw|1
 *   Mic Boost|enumerated|0dB/12dB/20dB||rw|2
 *
 * Access: r (read only), rw, stuck (writing succeeds and changes nothing), refuse (writing fails with EPERM).
 * A change of the file is told as an event, as a driver tells of a knob that was turned.
 *
 * Build:  gcc -O1 -Wall -shared -fPIC -DPIC -o libasound_module_ctl_vmixer.so ctl_vmixer.c -lasound
 * Use, in $HOME/.asoundrc:
 *
 *   ctl_type.vmixer { lib "/abs/libasound_module_ctl_vmixer.so" }
 *   ctl.!hw { @args [ CARD ]  @args.CARD { type string default "0" }  type vmixer  file "/abs/mixer" }
 */
#define _GNU_SOURCE
#include <alsa/asoundlib.h>
#include <alsa/control_external.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { MOST = 32, CHANNELS = 8, ITEMS = 8, LENGTH = 64 };

struct control {
    char name[LENGTH], access[LENGTH];
    char items[ITEMS][LENGTH];
    int type, n_items, n_values;
    long minimum, maximum, values[CHANNELS];
    char range[2][LENGTH * 2];
};

struct vmixer {
    snd_ctl_ext_t ext;
    char *path;
    int n, pending;
    struct control controls[MOST];
};

static int type_of(const char *word)
{
    return !strcmp(word, "boolean") ? SND_CTL_ELEM_TYPE_BOOLEAN
         : !strcmp(word, "enumerated") ? SND_CTL_ELEM_TYPE_ENUMERATED : SND_CTL_ELEM_TYPE_INTEGER;
}

/* The file is read anew for every question, so that it is the hardware's state and nothing else. */
static int load(struct vmixer *v)
{
    char line[1024], kind[LENGTH], values[256], items[256];
    FILE *file = fopen(v->path, "re");
    if (!file)
        return -ENODEV;
    v->n = 0;
    while (v->n < MOST && fgets(line, sizeof line, file)) {
        struct control *c = &v->controls[v->n];
        char *fields[6], *at = line, *word, *rest;
        int i;
        line[strcspn(line, "\n")] = 0;
        for (i = 0; i < 6; i++)
            fields[i] = strsep(&at, "|");
        if (!fields[5])
            continue;
        memset(c, 0, sizeof *c);
        snprintf(c->name, sizeof c->name, "%s", fields[0]);
        snprintf(kind, sizeof kind, "%s", fields[1]);
        snprintf(c->access, sizeof c->access, "%s", fields[4]);
        snprintf(c->range[0], sizeof c->range[0], "%s", fields[2]);
        snprintf(c->range[1], sizeof c->range[1], "%s", fields[3]);
        c->type = type_of(kind);
        if (c->type == SND_CTL_ELEM_TYPE_ENUMERATED) {
            snprintf(items, sizeof items, "%s", fields[2]);
            for (rest = items; c->n_items < ITEMS && (word = strsep(&rest, "/"));)
                snprintf(c->items[c->n_items++], LENGTH, "%s", word);
        } else {
            c->minimum = atol(fields[2]);
            c->maximum = atol(fields[3]);
        }
        snprintf(values, sizeof values, "%s", fields[5]);
        for (rest = values; c->n_values < CHANNELS && (word = strsep(&rest, ","));)
            c->values[c->n_values++] = atol(word);
        v->n++;
    }
    fclose(file);
    return 0;
}

static int save(struct vmixer *v)
{
    static const char *const kinds[] = {
        [SND_CTL_ELEM_TYPE_BOOLEAN] = "boolean", [SND_CTL_ELEM_TYPE_INTEGER] = "integer",
        [SND_CTL_ELEM_TYPE_ENUMERATED] = "enumerated"};
    char path[4096];
    FILE *file;
    int i, k;
    snprintf(path, sizeof path, "%s.%d", v->path, (int)getpid());
    file = fopen(path, "we");
    if (!file)
        return -EIO;
    for (i = 0; i < v->n; i++) {
        struct control *c = &v->controls[i];
        fprintf(file, "%s|%s|%s|%s|%s|", c->name, kinds[c->type], c->range[0], c->range[1], c->access);
        for (k = 0; k < c->n_values; k++)
            fprintf(file, "%s%ld", k ? "," : "", c->values[k]);
        fprintf(file, "\n");
    }
    return fclose(file) || rename(path, v->path) ? -EIO : 0;
}

static int elem_count(snd_ctl_ext_t *ext)
{
    struct vmixer *v = ext->private_data;
    int error = load(v);
    return error < 0 ? error : v->n;
}

static int elem_list(snd_ctl_ext_t *ext, unsigned int offset, snd_ctl_elem_id_t *id)
{
    struct vmixer *v = ext->private_data;
    if (offset >= (unsigned)v->n)
        return -EINVAL;
    snd_ctl_elem_id_set_interface(id, SND_CTL_ELEM_IFACE_MIXER);
    snd_ctl_elem_id_set_name(id, v->controls[offset].name);
    return 0;
}

static snd_ctl_ext_key_t find_elem(snd_ctl_ext_t *ext, const snd_ctl_elem_id_t *id)
{
    struct vmixer *v = ext->private_data;
    int i;
    for (i = 0; load(v) >= 0 && i < v->n; i++)
        if (!strcmp(v->controls[i].name, snd_ctl_elem_id_get_name(id)))
            return i;
    return SND_CTL_EXT_KEY_NOT_FOUND;
}

static int get_attribute(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, int *type, unsigned int *access,
                         unsigned int *count)
{
    struct control *c = &((struct vmixer *)ext->private_data)->controls[key];
    *type = c->type;
    *access = !strcmp(c->access, "r") ? SND_CTL_EXT_ACCESS_READ : SND_CTL_EXT_ACCESS_READWRITE;
    *count = c->n_values;
    return 0;
}

static int get_integer_info(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *low, long *high, long *step)
{
    struct control *c = &((struct vmixer *)ext->private_data)->controls[key];
    *low = c->minimum;
    *high = c->maximum;
    *step = 1;
    return 0;
}

static int get_enumerated_info(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, unsigned int *items)
{
    *items = ((struct vmixer *)ext->private_data)->controls[key].n_items;
    return 0;
}

static int get_enumerated_name(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, unsigned int item, char *name, size_t most)
{
    snprintf(name, most, "%s", ((struct vmixer *)ext->private_data)->controls[key].items[item]);
    return 0;
}

static int read_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
    struct control *c = &((struct vmixer *)ext->private_data)->controls[key];
    memcpy(value, c->values, c->n_values * sizeof *value);
    return 0;
}

static int read_enumerated(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, unsigned int *items)
{
    struct control *c = &((struct vmixer *)ext->private_data)->controls[key];
    int i;
    for (i = 0; i < c->n_values; i++)
        items[i] = c->values[i];
    return 0;
}

static int take(struct vmixer *v, struct control *c, const long *values)
{
    if (!strcmp(c->access, "refuse"))
        return -EPERM;
    if (!strcmp(c->access, "stuck"))
        return 1;
    memcpy(c->values, values, c->n_values * sizeof *values);
    return save(v) < 0 ? -EIO : 1;
}

static int write_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
    struct vmixer *v = ext->private_data;
    return take(v, &v->controls[key], value);
}

static int write_enumerated(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, unsigned int *items)
{
    struct vmixer *v = ext->private_data;
    long values[CHANNELS];
    int i;
    for (i = 0; i < v->controls[key].n_values; i++)
        values[i] = items[i];
    return take(v, &v->controls[key], values);
}

static int read_event(snd_ctl_ext_t *ext, snd_ctl_elem_id_t *id, unsigned int *mask)
{
    struct vmixer *v = ext->private_data;
    char events[4096] __attribute__((aligned(8)));
    ssize_t got = read(ext->poll_fd, events, sizeof events);
    ssize_t at = 0;
    while (got > 0 && at < got) {
        struct inotify_event *event = (struct inotify_event *)(events + at);
        char path[4096];
        snprintf(path, sizeof path, "%s", v->path);
        if (event->len && !strcmp(event->name, basename(path)))
            v->pending = 1;
        at += sizeof *event + event->len;
    }
    if (!v->pending)
        return -EAGAIN;
    v->pending = 0;
    snd_ctl_elem_id_set_interface(id, SND_CTL_ELEM_IFACE_MIXER);
    snd_ctl_elem_id_set_name(id, v->controls[0].name);
    *mask = SND_CTL_EVENT_MASK_VALUE;
    return 1;
}

static void vmixer_close(snd_ctl_ext_t *ext)
{
    struct vmixer *v = ext->private_data;
    close(ext->poll_fd);
    free(v->path);
    free(v);
}

static const snd_ctl_ext_callback_t callbacks = {
    .close = vmixer_close,
    .elem_count = elem_count,
    .elem_list = elem_list,
    .find_elem = find_elem,
    .get_attribute = get_attribute,
    .get_integer_info = get_integer_info,
    .get_enumerated_info = get_enumerated_info,
    .get_enumerated_name = get_enumerated_name,
    .read_integer = read_integer,
    .read_enumerated = read_enumerated,
    .write_integer = write_integer,
    .write_enumerated = write_enumerated,
    .read_event = read_event,
};

SND_CTL_PLUGIN_DEFINE_FUNC(vmixer)
{
    snd_config_iterator_t i, next;
    const char *path = NULL;
    char folder[4096];
    struct vmixer *v;
    int error;
    (void)root;

    snd_config_for_each(i, next, conf) {
        snd_config_t *entry = snd_config_iterator_entry(i);
        const char *id;
        if (snd_config_get_id(entry, &id) >= 0 && !strcmp(id, "file"))
            snd_config_get_string(entry, &path);
    }
    v = path ? calloc(1, sizeof *v) : NULL;
    if (!v)
        return -EINVAL;
    v->path = strdup(path);
    if (load(v) < 0) {
        free(v->path);
        free(v);
        return -ENODEV;
    }
    v->ext.version = SND_CTL_EXT_VERSION;
    v->ext.card_idx = 7;
    strcpy(v->ext.id, "vmixer");
    strcpy(v->ext.driver, "vmixer");
    strcpy(v->ext.name, "Virtual Microphone");
    strcpy(v->ext.longname, "Virtual Microphone");
    strcpy(v->ext.mixername, "Virtual Microphone");
    v->ext.callback = &callbacks;
    v->ext.private_data = v;
    v->ext.poll_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    snprintf(folder, sizeof folder, "%s", path);
    inotify_add_watch(v->ext.poll_fd, dirname(folder), IN_CLOSE_WRITE | IN_MOVED_TO);
    error = snd_ctl_ext_create(&v->ext, name, mode);
    if (error < 0) {
        vmixer_close(&v->ext);
        return error;
    }
    *handlep = v->ext.handle;
    return 0;
}
SND_CTL_PLUGIN_SYMBOL(vmixer);
