/* The enclave that is held ready. It was launched as any other and asked READY, which nobody answered: it has nothing
 * of any instance's. It becomes somebody's by the answer, once, and what is measured, judged and told then is as ever.
 */
#include "serve_internal.h"

#include "node.h"

#include <poll.h>
#include <string.h>

#define SPARE_AFTER_MS 100 /* whoever was launched has the processors to himself meanwhile */

void serve_spare_want(struct serve *serve, struct sites_image *image)
{
    struct serve_spare *spare = &serve->spare;
    if (!serve->options->spare)
        return;
    if (spare->image != image) {
        serve_spare_drop(serve);
        spare->image = sites_image_use(image);
    }
    if (!spare->held)
        spare->due_ms = serve_now_ms() + SPARE_AFTER_MS;
}

void serve_spare_launch(struct serve *serve)
{
    struct serve_spare *spare = &serve->spare;
    spare->due_ms = 0;
    sites_choose_spare_user(&serve->sites);
    const struct enclave_plan plan = serve_plan(serve, spare->image, serve->sites.spare_user);
    spare->held = enclave_start(&plan, &spare->enclave) == OK;
    node_log(spare->held ? "info" : "warning", "monitor", spare->held ? "spare" : "no_spare", "launcher=%d",
             spare->enclave.launcher);
}

bool serve_spare_take(struct serve *serve, struct serve_site *site)
{
    struct serve_spare *spare = &serve->spare;
    if (!spare->held || spare->image != site->is.image)
        return false;
    struct pollfd ended = {.fd = spare->enclave.launcher_fd, .events = POLLIN};
    if (poll(&ended, 1, 0) != 0)
        return false;
    site->enclave = spare->enclave;
    site->is.user = serve->sites.spare_user;
    spare->held = false;
    return true;
}

void serve_spare_drop(struct serve *serve)
{
    struct serve_spare *spare = &serve->spare;
    if (spare->held)
        (void)enclave_end(&spare->enclave);
    sites_image_leave(&serve->sites, spare->image);
    memset(spare, 0, sizeof *spare);
}
