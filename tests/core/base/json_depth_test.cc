#include "core/base/json_depth.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace {
namespace {

TEST(JsonDepth, CountsNestedArraysAndObjects) {
  EXPECT_EQ(JsonDepth(""), 0);
  EXPECT_EQ(JsonDepth("17"), 0);
  EXPECT_EQ(JsonDepth("{}"), 1);
  EXPECT_EQ(JsonDepth(R"({"a":[1,{"b":2}],"c":[]})"), 3);
  EXPECT_EQ(JsonDepth(std::string(100000, '[')), 100000);
}

TEST(JsonDepth, IgnoresBracketsInStrings) {
  EXPECT_EQ(JsonDepth(R"({"a":"[[[[","b\"[[":"\\"})"), 1);
  EXPECT_EQ(JsonDepth(R"(["\\",[]])"), 2);
}

}  // namespace
}  // namespace millrace
