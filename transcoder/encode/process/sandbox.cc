#include "transcoder/encode/process/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/unique_fd.h"

namespace millrace::encode {
namespace {

constexpr rlim_t kMaxDescriptors = 256;

[[noreturn]] void ThrowErrno(const char* what, int error) {
  throw Error(ErrorCode::kInternal, std::string("sandbox: ") + what + ": " + std::strerror(error));
}

void Limit(__rlimit_resource resource, rlim_t most, const char* what) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0) ThrowErrno(what, errno);
  limit.rlim_max = std::min(limit.rlim_max, most);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(resource, &limit) != 0) ThrowErrno(what, errno);
}

// The kernel's structure in full; the header of Debian 12 has its first field only.
struct LandlockRuleset {
  uint64_t handled_access_fs = 0;
  uint64_t handled_access_net = 0;  // from ABI 4
  uint64_t scoped = 0;              // from ABI 6
};
constexpr uint64_t kAccessTruncate = uint64_t{1} << 14;  // from ABI 3
constexpr uint64_t kAccessIoctlDev = uint64_t{1} << 15;  // from ABI 5
constexpr uint64_t kAllNet = 3;                          // bind and connect TCP
constexpr uint64_t kAllScopes = 3;                       // abstract sockets, signals

uint64_t FileRightsOf(int abi) {
  uint64_t rights = (uint64_t{1} << 13) - 1;  // ABI 1
  if (abi >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) rights |= kAccessTruncate;
  if (abi >= 5) rights |= kAccessIoctlDev;
  return rights;
}

void Allow(int ruleset, const std::string& path, uint64_t rights, ErrorCode if_missing) {
  const UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) {
    const int error = errno;
    throw Error(if_missing, path + " cannot be opened: " + std::strerror(error),
                {{"stage", "open"}, {"errno", error}});
  }
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = fd.get();
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    ThrowErrno("add a Landlock rule", errno);
  }
}

// Sanitizers need to open files, fork and trace, so their builds restrict neither files nor calls.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MILLRACE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MILLRACE_SANITIZED 1
#endif
#endif

// Read by libnuma; without it x265 starts no threads.
constexpr auto kSystemDirs = std::to_array<const char*>({
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
#ifdef MILLRACE_SANITIZED
    "/proc",
#endif
});

void RestrictFiles(const SandboxOptions& options) {
  const long abi =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) {
    LogWarning("the kernel has no Landlock: files are not fenced off", {{"errno", errno}});
    return;
  }
  const uint64_t handled = FileRightsOf(static_cast<int>(abi));
  LandlockRuleset wanted{.handled_access_fs = handled};
  size_t size = sizeof(uint64_t);
  if (abi >= 4) {
    wanted.handled_access_net = kAllNet;
    size = 2 * sizeof(uint64_t);
  }
  if (abi >= 6) {
    wanted.scoped = kAllScopes;
    size = sizeof(LandlockRuleset);
  }
  const UniqueFd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &wanted, size, 0)));
  if (!ruleset) ThrowErrno("make a Landlock ruleset", errno);
  Allow(ruleset.get(), options.input_path, LANDLOCK_ACCESS_FS_READ_FILE,
        ErrorCode::kInputUnreadable);
  for (const char* path : kSystemDirs) {
    if (access(path, R_OK) != 0) continue;
    Allow(ruleset.get(), path, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
          ErrorCode::kInternal);
  }
  if (!options.output_dir.empty()) {
    Allow(ruleset.get(), options.output_dir,
          handled & (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                     LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                     LANDLOCK_ACCESS_FS_REMOVE_FILE | kAccessTruncate),
          ErrorCode::kStorageError);
  }
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    ThrowErrno("enter the Landlock ruleset", errno);
  }
}

#ifdef MILLRACE_SANITIZED
void RestrictCalls() { LogWarning("built with a sanitizer: system calls are not fenced off"); }
#else

// Lists names, not numbers: a call that this libseccomp or machine does not have is skipped.
constexpr auto kRefused = std::to_array<const char*>({
    "socket",
    "socketpair",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "execve",
    "execveat",
    "fork",
    "vfork",
    "kill",
    "tkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "pidfd_open",
    "pidfd_send_signal",
    "pidfd_getfd",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "kcmp",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "fsconfig",
    "fspick",
    "mount_setattr",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "keyctl",
    "add_key",
    "request_key",
    "bpf",
    "perf_event_open",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "reboot",
    "swapon",
    "swapoff",
    "open_by_handle_at",
    "name_to_handle_at",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "mknod",
    "mknodat",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "fchownat",
    "lchown",
    "setxattr",
    "fsetxattr",
    "lsetxattr",
    "removexattr",
    "fremovexattr",
    "lremovexattr",
    "truncate",
    "truncate64",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "setsid",
    "setpgid",
    "capset",
    "personality",
    "acct",
    "quotactl",
    "iopl",
    "ioperm",
    "modify_ldt",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "syslog",
    "vhangup",
    "fanotify_init",
    "inotify_init",
    "inotify_init1",
    "memfd_create",
    "memfd_secret",
    "landlock_create_ruleset",
    "mq_open",
    "shmget",
    "msgget",
    "semget",
});

void CheckSeccomp(int rc, const char* what) {
  if (rc < 0) ThrowErrno(what, -rc);
}

void RefuseIf(scmp_filter_ctx filter, int call, const scmp_arg_cmp& condition) {
  CheckSeccomp(seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), call, 1, &condition),
               "add a seccomp rule");
}

void RefuseOtherProcesses(scmp_filter_ctx filter) {
  // Allows threads, but no processes. The flags of clone3 are behind a pointer, out of the filter's
  // reach; ENOSYS makes the C library fall back to clone.
  RefuseIf(filter, SCMP_SYS(clone),
           {.arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = CLONE_THREAD, .datum_b = 0});
  CheckSeccomp(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3");
  // Allows a process to signal itself (abort), and no other.
  RefuseIf(
      filter, SCMP_SYS(tgkill),
      {.arg = 0, .op = SCMP_CMP_NE, .datum_a = static_cast<scmp_datum_t>(getpid()), .datum_b = 0});
  // Forbids asking the kernel to signal another process when a descriptor is ready.
  for (const int command : {F_SETOWN, F_SETSIG, F_SETOWN_EX}) {
    RefuseIf(filter, SCMP_SYS(fcntl),
             {.arg = 1,
              .op = SCMP_CMP_MASKED_EQ,
              .datum_a = 0xffffffffU,
              .datum_b = static_cast<scmp_datum_t>(command)});
  }
}

void RestrictCalls() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ALLOW),
                                                                &seccomp_release);
  if (!filter) ThrowErrno("make a seccomp filter", ENOMEM);
  const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
  for (const char* name : kRefused) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call < 0) continue;
    CheckSeccomp(seccomp_rule_add(filter.get(), refuse, call, 0), name);
  }
  RefuseOtherProcesses(filter.get());
  // Allows reading limits.
  RefuseIf(filter.get(), SCMP_SYS(prlimit64),
           {.arg = 2, .op = SCMP_CMP_NE, .datum_a = 0, .datum_b = 0});
  CheckSeccomp(seccomp_rule_add(filter.get(), refuse, SCMP_SYS(setrlimit), 0), "setrlimit");
  // Forbids putting input into a terminal.
  RefuseIf(filter.get(), SCMP_SYS(ioctl),
           {.arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = 0xffffffffU, .datum_b = TIOCSTI});
  const int rc = seccomp_load(filter.get());
  if (rc == -EINVAL || rc == -ENOSYS) {
    LogWarning("the kernel has no seccomp filters: system calls are not fenced off");
    return;
  }
  CheckSeccomp(rc, "load the seccomp filter");
}
#endif

}  // namespace

void EnterSandbox(const SandboxOptions& options) {
  Limit(RLIMIT_CORE, 0, "limit core files");
  Limit(RLIMIT_NOFILE, kMaxDescriptors, "limit descriptors");
  if (options.max_file_bytes) Limit(RLIMIT_FSIZE, *options.max_file_bytes, "limit file sizes");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ThrowErrno("give up privileges", errno);
  RestrictFiles(options);
  RestrictCalls();
}

}  // namespace millrace::encode
