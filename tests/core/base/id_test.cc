#include "core/base/id.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>
#include <vector>

namespace millrace {
namespace {

TEST(Id, SortsByCreation) {
  std::vector<std::string> ids;
  for (int i = 0; i < 10'000; ++i) ids.push_back(NewJobId());
  EXPECT_TRUE(std::ranges::is_sorted(ids));
  EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), ids.size());
}

TEST(Id, IsAVersion7UuidBehindItsPrefix) {
  const std::string id = NewUploadId();
  EXPECT_TRUE(IsId(id, "upl_"));
  EXPECT_EQ(id[4 + 12], '7');
  EXPECT_NE(std::string("89ab").find(id[4 + 16]), std::string::npos);
}

TEST(Id, IsUniqueOverThreads) {
  std::vector<std::vector<std::string>> made(4);
  {
    std::vector<std::jthread> threads;
    for (auto& ids : made) {
      threads.emplace_back([&ids] {
        for (int i = 0; i < 5'000; ++i) ids.push_back(NewTaskId());
      });
    }
  }
  std::set<std::string> all;
  for (const auto& ids : made) all.insert(ids.begin(), ids.end());
  EXPECT_EQ(all.size(), 20'000U);
}

TEST(Id, IsNotMadeOfTheSameBytesByAForkedChild) {
  const auto random_part = [] { return NewJobId().substr(4 + 16); };
  random_part();
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::string part = random_part();
    _exit(write(ends[1], part.data(), part.size()) == 16 ? 0 : 1);
  }
  std::string of_child(16, ' ');
  EXPECT_EQ(read(ends[0], of_child.data(), of_child.size()), 16);
  EXPECT_NE(of_child, random_part());
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  close(ends[0]);
  close(ends[1]);
}

TEST(Id, RefusesTextThatCouldBeAPath) {
  const std::string good = NewJobId();
  EXPECT_FALSE(IsId(good, "upl_"));
  EXPECT_FALSE(IsId(good + "0", "job_"));
  EXPECT_FALSE(IsId("job_../../../../../../../../etc/pas", "job_"));
  EXPECT_FALSE(IsId("job_", "job_"));
  EXPECT_FALSE(IsId("", "job_"));
}

}  // namespace
}  // namespace millrace
