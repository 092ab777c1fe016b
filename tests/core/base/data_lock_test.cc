#include "core/base/data_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "core/base/error.h"
#include "tests/fakes/temp_dir.h"

namespace millrace {
namespace {

using testing::HasSubstr;

TEST(DataLock, RefusesASecondHolderAndNamesTheFirst) {
  const TempDir dir;
  const DataLockOptions options = {
      .data_dir = dir.path(), .file = "broker.lock", .holder = "millrace-broker"};
  std::optional<DataLock> first(options);
  try {
    const DataLock second(options);
    ADD_FAILURE() << "two brokers hold one folder";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kStorageError);
    EXPECT_THAT(error.what(),
                HasSubstr("another 'millrace-broker' (process " + std::to_string(getpid()) + ")"));
    EXPECT_THAT(error.what(), HasSubstr(dir.path().string()));
  }
  first.reset();
  EXPECT_NO_THROW(DataLock lock(options));
}

TEST(DataLock, LetsProgramsOfDifferentKindsShareAFolder) {
  const TempDir dir;
  const DataLock up({.data_dir = dir.path(), .file = "up.lock", .holder = "millrace up"});
  EXPECT_NO_THROW(DataLock({.data_dir = dir.path(), .file = "broker.lock", .holder = "broker"}));
}

}  // namespace
}  // namespace millrace
