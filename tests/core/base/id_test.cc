#include "core/base/id.h"

#include <gtest/gtest.h>

#include <algorithm>
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
