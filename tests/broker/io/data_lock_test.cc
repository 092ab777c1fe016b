#include "broker/io/data_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

TEST(DataLock, RefusesASecondHolderAndNamesTheFirst) {
  const TempDir dir;
  std::optional<DataLock> first(dir.path());
  try {
    const DataLock second(dir.path());
    ADD_FAILURE() << "two brokers hold one folder";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kStorageError);
    EXPECT_THAT(error.what(), testing::HasSubstr("process " + std::to_string(getpid())));
    EXPECT_THAT(error.what(), testing::HasSubstr(dir.path().string()));
  }
  first.reset();
  EXPECT_NO_THROW(DataLock(dir.path()));
}

}  // namespace
}  // namespace millrace::broker
