/*
 * vmic: a virtual microphone for tests, as an ALSA ioplug.
 *
 * Plays a raw S16LE mono file as if it were captured now: in real time, sample-exact from its first sample, round and
 * round. The word in a control file makes it fail on command:
 *
 *   (empty)  run
 *   stall    the stream stays open and no sample ever comes again
 *   gone     every call fails with ENODEV, as when a USB cable is pulled
 *   xrun     one overrun, once for each time the word is written
 *   zero     nothing but zeros, as from a microphone that is muted
 *   repeat   the same 1600 samples round and round, as from a DMA buffer that nobody fills any more
 *   fast     5 % more samples a second than it promised
 *   lossy    of each second the last tenth is lost without a word
 *
 * With proc "/abs/folder" it tells there who has it open and how it runs, as the kernel does in /proc/asound for card 7.
 * With lock "/abs/file" it serves one process at a time, as a sound card does; the others get EBUSY.
 *
 * Build:  gcc -O1 -Wall -shared -fPIC -DPIC -o libasound_module_pcm_vmic.so pcm_vmic.c -lasound
 * Use, in $HOME/.asoundrc (a config in ALSA_CONFIG_PATH that holds nothing else makes PortAudio abort):
 *
 *   pcm_type.vmic { lib "/abs/libasound_module_pcm_vmic.so" }
 *   pcm.street { type vmic  file "/abs/audio.raw"  ctl_file "/abs/control"  rate 16000 }
 *
 * A PCM with a hint { show on } is not needed: PortAudio lists every pcm of the user's file.
 */
#define _GNU_SOURCE
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum mode { RUN, STALL, GONE, XRUN, ZERO, REPEAT, FAST, LOSSY };
static const char *const words[] = {"", "stall", "gone", "xrun", "zero", "repeat", "fast", "lossy"};
enum { REPEATED = 1600 };

struct vmic {
    snd_pcm_ioplug_t io;
    int timer;                     /* ticks once a period; what ALSA polls */
    int audio;                     /* the raw file */
    long audio_bytes;
    char *control_path;
    char *proc;                    /* folder of its `status` and `hw_params`; NULL where it tells nobody */
    int lock;                      /* held while open; -1 where the microphone is for all */
    double counted_s;              /* monotonic time of the last look */
    double exact;                  /* samples until then, fractions too */
    unsigned long long captured;   /* samples that the "hardware" has */
    unsigned long long read;       /* samples that the reader took */
    int xrun_done;
    unsigned int rate;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static enum mode commanded(const struct vmic *v)
{
    char word[16] = "";
    unsigned i;
    int file = open(v->control_path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return RUN;
    if (read(file, word, sizeof word - 1) < 0)
        word[0] = 0;
    close(file);
    for (i = 1; i < sizeof words / sizeof *words; i++)
        if (!strcmp(word, words[i]))
            return i;
    return RUN;
}

static int vmic_start(snd_pcm_ioplug_t *io)
{
    struct vmic *v = io->private_data;
    double period_s = (double)io->period_size / io->rate;
    struct timespec period = {(time_t)period_s, (long)((period_s - (time_t)period_s) * 1e9)};
    struct itimerspec ticks = {period, period};
    v->counted_s = now_s();
    v->captured = 0;
    v->exact = 0;
    timerfd_settime(v->timer, 0, &ticks, NULL);
    return 0;
}

static int vmic_stop(snd_pcm_ioplug_t *io)
{
    struct vmic *v = io->private_data;
    struct itimerspec never = {{0, 0}, {0, 0}};
    timerfd_settime(v->timer, 0, &never, NULL);
    return 0;
}

/* Where the hardware is in its ring: the heart of an ioplug. A negative errno is a fault. */
static snd_pcm_sframes_t vmic_pointer(snd_pcm_ioplug_t *io)
{
    struct vmic *v = io->private_data;
    enum mode mode = commanded(v);
    unsigned long long captured;
    double now;

    if (mode == GONE)
        return -ENODEV;
    if (mode == STALL)
        return v->captured % io->buffer_size;
    if (mode == XRUN && !v->xrun_done) {
        v->xrun_done = 1;
        return -EPIPE;
    }
    if (mode != XRUN)
        v->xrun_done = 0;
    now = now_s();
    v->exact += (now - v->counted_s) * io->rate * (mode == FAST ? 1.05 : mode == LOSSY ? 0.9 : 1.0);
    v->counted_s = now;
    captured = (unsigned long long)v->exact;
    if (io->state == SND_PCM_STATE_RUNNING && captured > v->read + io->buffer_size)
        return -EPIPE; /* the reader came too late: a true overrun */
    v->captured = captured;
    return captured % io->buffer_size;
}

static snd_pcm_sframes_t vmic_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                       snd_pcm_uframes_t offset, snd_pcm_uframes_t frames)
{
    struct vmic *v = io->private_data;
    char *to = (char *)areas->addr + (areas->first + areas->step * offset) / 8;
    long wanted = frames * 2, got = 0;
    enum mode mode = commanded(v);

    if (mode == ZERO) {
        memset(to, 0, wanted);
        got = wanted;
    }
    while (mode == REPEAT && got < wanted) {
        if (pread(v->audio, to + got, 2, (v->read + got / 2) % REPEATED * 2) != 2)
            return -EIO;
        got += 2;
    }
    while (got < wanted) {
        long at = (v->read * 2 + got) % v->audio_bytes;
        long piece = wanted - got < v->audio_bytes - at ? wanted - got : v->audio_bytes - at;
        ssize_t n = pread(v->audio, to + got, piece, at);
        if (n <= 0)
            return -EIO;
        got += n;
    }
    v->read += frames;
    return frames;
}

static int vmic_prepare(snd_pcm_ioplug_t *io)
{
    struct vmic *v = io->private_data;
    v->captured = 0;
    v->read = 0;
    return commanded(v) == GONE ? -ENODEV : 0;
}

static int vmic_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned int count, unsigned short *revents)
{
    struct vmic *v = io->private_data;
    enum mode mode = commanded(v);
    unsigned long long ticks;
    (void)count;

    if ((fds->revents & POLLIN) && read(v->timer, &ticks, sizeof ticks) < 0)
        fds->revents &= ~POLLIN; /* another poll took the tick */
    *revents = mode == STALL ? 0 : mode == GONE ? POLLERR | POLLNVAL : fds->revents & POLLIN;
    return 0;
}

static void tell(const struct vmic *v, const char *name, const char *text)
{
    char path[4096];
    FILE *file;
    if (!v->proc)
        return;
    snprintf(path, sizeof path, "%s/%s", v->proc, name);
    file = fopen(path, "we");
    if (file) {
        fputs(text, file);
        fclose(file);
    }
}

/* As sound/core/pcm.c writes them. */
static void tell_open(const struct vmic *v, int is_open)
{
    char status[256], running[256];
    snprintf(status, sizeof status, "state: RUNNING\nowner_pid   : %d\n", (int)getpid());
    snprintf(running, sizeof running,
             "access: MMAP_INTERLEAVED\nformat: S16_LE\nsubformat: STD\nchannels: 1\nrate: %u (%u/1)\n", v->rate, v->rate);
    tell(v, "status", is_open ? status : "closed\n");
    tell(v, "hw_params", is_open ? running : "closed\n");
}

static int vmic_close(snd_pcm_ioplug_t *io)
{
    struct vmic *v = io->private_data;
    tell_open(v, 0);
    free(v->proc);
    close(v->timer);
    close(v->audio);
    if (v->lock >= 0)
        close(v->lock);
    free(v->control_path);
    free(v);
    return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
    .start = vmic_start,
    .stop = vmic_stop,
    .pointer = vmic_pointer,
    .transfer = vmic_transfer,
    .prepare = vmic_prepare,
    .poll_revents = vmic_poll_revents,
    .close = vmic_close,
};

static int limit_hardware(snd_pcm_ioplug_t *io, unsigned int rate)
{
    static const unsigned int access[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED};
    static const unsigned int format[] = {SND_PCM_FORMAT_S16_LE};
    int error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, 1, 1);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, rate, rate);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 256, 65536);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 64);
    return error;
}

SND_PCM_PLUGIN_DEFINE_FUNC(vmic)
{
    snd_config_iterator_t i, next;
    const char *file = NULL, *control = "/nonexistent", *lock = NULL, *proc = NULL;
    long rate = 16000;
    struct vmic *v;
    int error;
    (void)root;

    snd_config_for_each(i, next, conf) {
        snd_config_t *entry = snd_config_iterator_entry(i);
        const char *id;
        if (snd_config_get_id(entry, &id) < 0)
            continue;
        if (!strcmp(id, "file"))
            snd_config_get_string(entry, &file);
        else if (!strcmp(id, "ctl_file"))
            snd_config_get_string(entry, &control);
        else if (!strcmp(id, "lock"))
            snd_config_get_string(entry, &lock);
        else if (!strcmp(id, "proc"))
            snd_config_get_string(entry, &proc);
        else if (!strcmp(id, "rate"))
            snd_config_get_integer(entry, &rate);
    }
    if (stream != SND_PCM_STREAM_CAPTURE || !file)
        return -EINVAL;

    v = calloc(1, sizeof *v);
    if (!v)
        return -ENOMEM;
    v->control_path = strdup(control);
    v->audio = open(file, O_RDONLY | O_CLOEXEC);
    if (v->audio < 0 || commanded(v) == GONE) {
        if (v->audio >= 0)
            close(v->audio);
        free(v->control_path);
        free(v);
        return -ENODEV;
    }
    v->lock = lock ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (v->lock >= 0 && flock(v->lock, LOCK_EX | LOCK_NB) < 0) {
        close(v->lock);
        close(v->audio);
        free(v->control_path);
        free(v);
        return -EBUSY;
    }
    v->audio_bytes = lseek(v->audio, 0, SEEK_END) & ~1L;
    v->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    v->proc = proc ? strdup(proc) : NULL;
    v->rate = rate;
    tell_open(v, 1);
    v->io.version = SND_PCM_IOPLUG_VERSION;
    v->io.name = "vmic";
    v->io.callback = &callbacks;
    v->io.private_data = v;
    v->io.poll_fd = v->timer;
    v->io.poll_events = POLLIN;
    error = snd_pcm_ioplug_create(&v->io, name, stream, mode);
    if (error < 0) {
        vmic_close(&v->io);
        return error;
    }
    error = limit_hardware(&v->io, rate);
    if (error < 0) {
        snd_pcm_ioplug_delete(&v->io);
        return error;
    }
    *pcmp = v->io.pcm;
    return 0;
}
SND_PCM_PLUGIN_SYMBOL(vmic);
