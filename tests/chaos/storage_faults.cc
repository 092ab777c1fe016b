#include "tests/chaos/storage_faults.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>

#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace::chaos {

StorageFaults::StorageFaults(const std::filesystem::path& file) : file_(file) {
  const FaultControl fresh;
  const UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) ThrowStorageError(errno, "open", file);
  WriteAll(fd.get(), {reinterpret_cast<const char*>(&fresh), sizeof fresh}, file);
  void* mapped =
      mmap(nullptr, sizeof(FaultControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) ThrowStorageError(errno, "mmap", file);
  control_ = new (mapped) FaultControl;
}

StorageFaults::~StorageFaults() { munmap(control_, sizeof(FaultControl)); }

std::vector<std::string> StorageFaults::Environment(ProgramKind kind) const {
  return {std::string("LD_PRELOAD=") + MILLRACE_FAULT_SHIM,
          std::string(kControlVariable) + "=" + file_.string(),
          std::string(kProgramVariable) + "=" + std::to_string(static_cast<int>(kind))};
}

size_t StorageFaults::Begin(const StorageFault& fault) {
  const auto free =
      std::ranges::find_if(control_->rules, [](const FaultRule& rule) { return rule.armed == 0; });
  if (free == control_->rules.end()) throw std::logic_error("too many storage faults at once");
  const std::string prefix = fault.below.string();
  if (prefix.size() >= sizeof free->prefix) throw std::logic_error("too long a path: " + prefix);
  std::memcpy(free->prefix, prefix.c_str(), prefix.size() + 1);
  uint32_t programs = 0;
  for (const ProgramKind kind : fault.programs) programs |= 1u << static_cast<uint32_t>(kind);
  free->programs = programs;
  free->operations = fault.operations;
  free->error = fault.error;
  free->per_million = fault.per_million;
  free->hits = 0;
  free->armed.store(1, std::memory_order_release);
  ++control_->armed_rules;
  return static_cast<size_t>(free - control_->rules.begin());
}

uint64_t StorageFaults::End(size_t number) {
  FaultRule& rule = control_->rules.at(number);
  rule.armed = 0;
  --control_->armed_rules;
  return rule.hits;
}

void StorageFaults::SetClock(ProgramKind kind, std::chrono::nanoseconds offset) {
  control_->clock_offset_ns[static_cast<size_t>(kind)] = offset.count();
}

}  // namespace millrace::chaos
