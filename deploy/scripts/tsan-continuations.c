// Tells ThreadSanitizer what Swift's runtime leaves out (https://github.com/swiftlang/swift/issues/57803). Whatever a
// thread did before it resumed a continuation happens before the task goes on. The runtime says so where it resumes
// (`_swift_tsan_release` of the task, in `swift_continuation_resume`), and where a task that was suspended runs again.
// A task that need not suspend, because its continuation was resumed in the meantime, goes on from
// `swift_continuation_await` without a word, and what it was handed is reported as a race.
//
// Preloaded, this stands before the runtime's function and adds the edge that is missing, and no other. It is not asked
// where the runtime's own library awaits, which is what `withCheckedContinuation` does.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

struct context;
typedef __attribute__((swiftasynccall)) void async_function(__attribute__((swift_async_context)) struct context *);
typedef __attribute__((swiftasynccall)) void await_function(struct context *);

// The beginning of the runtime's ContinuationAsyncContext (swift/ABI/Task.h). Compiled code allocates it and fills in
// the first two fields, so its layout is as fixed as a calling convention.
struct context {
  struct context *parent;
  async_function *resume;
  uintptr_t flags;
};
// The task goes on at another executor: `resume` is called later, perhaps on another thread.
enum { executor_switch_is_forced = 2 };

// Weak: the programs that tests start inherit the preloading, and need have neither.
__attribute__((weak)) void __tsan_acquire(void *address);
__attribute__((weak, swiftcall)) void *swift_task_getCurrent(void);

static await_function *runtime_await;
static _Thread_local async_function *resume;

__attribute__((constructor)) static void find_runtime(void) {
  runtime_await = (await_function *)dlsym(RTLD_NEXT, "swift_continuation_await");
}

static void acquire_current_task(void) {
  if (__tsan_acquire && swift_task_getCurrent) __tsan_acquire(swift_task_getCurrent());
}

// Stands in for `context->resume`, which the runtime calls from `swift_continuation_await` itself if the continuation
// was resumed, on this thread and before anything else runs on it. A task that was suspended goes on elsewhere: where
// to was taken from the context when the continuation was made.
__attribute__((swiftasynccall)) static void go_on(__attribute__((swift_async_context)) struct context *context) {
  acquire_current_task();
  context->resume = resume;
  __attribute__((musttail)) return resume(context);
}

__attribute__((swiftasynccall)) void swift_continuation_await(struct context *context) {
  if (context->flags & executor_switch_is_forced) {
    acquire_current_task();
  } else {
    resume = context->resume;
    context->resume = go_on;
  }
  __attribute__((musttail)) return runtime_await(context);
}
