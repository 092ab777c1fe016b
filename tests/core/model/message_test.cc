#include "core/model/message.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

std::string Refusal(const Frames& frames) {
  try {
    DecodeMessage(frames);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocolError);
    return error.what();
  }
  return "";
}

TEST(Message, ReadsWhatItWrites) {
  const Message message{.type = "submit", .id = "msg_1", .body = {{"job_id", "job_1"}}};
  const Message back = DecodeMessage(EncodeMessage(message));
  EXPECT_EQ(back.type, message.type);
  EXPECT_EQ(back.id, message.id);
  EXPECT_EQ(back.body, message.body);
}

TEST(Message, NamesTheMistakeInMalformedFrames) {
  const std::string version(kProtocolVersion);
  EXPECT_NE(Refusal({}).find("4 frames"), std::string::npos);
  EXPECT_NE(Refusal({version, "ping", "1"}).find("4 frames"), std::string::npos);
  EXPECT_NE(Refusal({version, "ping", "1", "{}", ""}).find("4 frames"), std::string::npos);
  EXPECT_NE(Refusal({"MR9", "ping", "1", "{}"}).find("version"), std::string::npos);
  EXPECT_NE(Refusal({version, "", "1", "{}"}).find("type"), std::string::npos);
  EXPECT_NE(Refusal({version, std::string(33, 'a'), "1", "{}"}).find("type"), std::string::npos);
  EXPECT_NE(Refusal({version, "pi\nng", "1", "{}"}).find("type"), std::string::npos);
  EXPECT_NE(Refusal({version, "ping", std::string(65, 'a'), "{}"}).find("id"), std::string::npos);
  EXPECT_NE(Refusal({version, "ping", "1", ""}).find("JSON"), std::string::npos);
  EXPECT_NE(Refusal({version, "ping", "1", "[]"}).find("object"), std::string::npos);
  EXPECT_NE(Refusal({version, "ping", "1", "{\"a\":"}).find("JSON"), std::string::npos);
  EXPECT_NE(Refusal({version, "ping", "1", "{\"a\":\"\xff\"}"}).find("JSON"), std::string::npos);
  EXPECT_NE(Refusal({version, "ping", "1", std::string(kMaxBodyBytes + 1, ' ')}).find("bytes"),
            std::string::npos);
}

TEST(Message, ReplacesBytesThatAreNotUtf8) {
  const Message message{.type = "failed", .id = "1", .body = {{"detail", "bad \xff byte"}}};
  EXPECT_NO_THROW(DecodeMessage(EncodeMessage(message)));
}

TEST(Message, RefusesDeeplyNestedBodies) {
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_NE(Refusal({std::string(kProtocolVersion), "ping", "1", deep}).find("deep"),
            std::string::npos);
}

TEST(Message, RefusesAMessageUnderItsOwnId) {
  const Message reply = ErrorReply("msg_7", Error(ErrorCode::kQueueFull, "full"));
  EXPECT_EQ(reply.type, "error");
  EXPECT_EQ(reply.id, "msg_7");
  EXPECT_EQ(reply.body["code"], "queue_full");
}

}  // namespace
}  // namespace millrace
