#include "core/base/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace millrace {
namespace {

TEST(JsonText, WritesTextThatIsNotUtf8WithReplacementCharacters) {
  const nlohmann::json json = {{"name", "caf\xe9.mp4"}};
  EXPECT_EQ(ToText(json), "{\"name\":\"caf\xef\xbf\xbd.mp4\"}");
  EXPECT_EQ(ToIndentedText(json), "{\n  \"name\": \"caf\xef\xbf\xbd.mp4\"\n}");
}

}  // namespace
}  // namespace millrace
