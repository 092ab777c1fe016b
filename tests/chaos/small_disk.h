#pragma once

#include <cstdint>
#include <filesystem>

namespace millrace::chaos {

// From now on mounts of this process and its children are their own and vanish with them, however
// they end. Call it before threads are started. False: the rights to mount are missing.
bool KeepMountsToOurselves();

// A folder on a disk of its own (a tmpfs), which can be filled up. Where the rights to mount are
// missing it is a plain folder that cannot. Unmounted and emptied by the destructor.
class SmallDisk {
 public:
  // Throws Error if the folder cannot be made.
  SmallDisk(std::filesystem::path folder, int64_t bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  // Whether it is a disk of its own.
  bool is_mounted() const { return mounted_; }
  // Takes all room but so many bytes, until Relieve(). Returns how many are left. REQUIRES:
  // is_mounted().
  int64_t Fill(int64_t bytes_left);
  void Relieve();

  const std::filesystem::path& path() const { return folder_; }

 private:
  const std::filesystem::path folder_;
  bool mounted_ = false;
};

}  // namespace millrace::chaos
