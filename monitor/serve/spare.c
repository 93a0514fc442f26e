/* The enclave that is held ready. It was launched as any other and asked READY, which nobody answered: it has nothing
 * of any instance's. It becomes somebody's by the answer, once, and what is measured, judged and told then is as ever.
 */
#include "serve_internal.h"

#include "eat.h"
#include "node.h"

#include <poll.h>
#include <string.h>

#define SPARE_AFTER_MS 100 /* whoever was launched has the processors to himself meanwhile */

static bool has_asked(const struct serve_spare *spare)
{
    struct pollfd asked = {.fd = spare->enclave.socket, .events = POLLIN};
    return poll(&asked, 1, 0) == 1 && asked.revents == POLLIN;
}

void serve_spare_want(struct serve *serve, struct sites_image *image)
{
    struct serve_spare *spare = &serve->spare;
    if (!serve->options->spare)
        return;
    if (spare->image != image) {
        (void)serve_spare_drop(serve);
        spare->image = sites_image_use(image);
    }
    if (!spare->held)
        spare->due_ms = serve_now_ms() + SPARE_AFTER_MS;
}

static void launch(struct serve *serve)
{
    struct serve_spare *spare = &serve->spare;
    sites_choose_spare_user(&serve->sites);
    const struct enclave_plan plan = serve_plan(serve, spare->image, serve->sites.spare_user);
    spare->held = enclave_start(&plan, &spare->enclave) == OK;
    spare->due_ms = spare->held ? serve_now_ms() + SERVE_READY_MS : 0;
    node_log(spare->held ? "info" : "warning", "monitor", spare->held ? "spare" : "no_spare", "launcher=%d",
             spare->enclave.launcher);
}

void serve_spare_due(struct serve *serve)
{
    struct serve_spare *spare = &serve->spare;
    spare->due_ms = 0;
    if (!spare->held)
        launch(serve);
    else if (!has_asked(spare))
        serve_spare_ended(serve, "was not ready in time");
}

/* One without namespaces is not what a launch would give now that they can be had. */
bool serve_spare_take(struct serve *serve, struct serve_site *site)
{
    struct serve_spare *spare = &serve->spare;
    if (!spare->held || site == &serve->own || spare->image != site->is.image || !has_asked(spare))
        return false;
    if (enclave_take_report(&spare->enclave) != OK || !(spare->enclave.walls & EAT_WALL_NAMESPACES)) {
        serve_spare_ended(serve, "lacks a wall");
        return false;
    }
    site->enclave = spare->enclave;
    site->is.user = serve->sites.spare_user;
    spare->held = false;
    spare->due_ms = 0;
    return true;
}

void serve_spare_ended(struct serve *serve, const char *reason)
{
    const pid_t pid = enclave_take_report(&serve->spare.enclave) == OK ? serve->spare.enclave.pid : 0;
    const int wait_status = serve_spare_drop(serve);
    node_log("warning", "monitor", "spare_ended", "pid=%d wait_status=%#x reason=\"%s\"", pid, (unsigned)wait_status,
             reason);
}

int serve_spare_drop(struct serve *serve)
{
    struct serve_spare *spare = &serve->spare;
    const int wait_status = spare->held ? enclave_end(&spare->enclave) : 0;
    sites_image_leave(&serve->sites, spare->image);
    memset(spare, 0, sizeof *spare);
    return wait_status;
}
