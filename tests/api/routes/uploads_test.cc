#include "tests/api/routes/api_fixture.h"

namespace millrace::api {
namespace {

namespace fs = std::filesystem;
using ApiUploadsTest = ApiTest;

// Waits until the folder has that many entries. Returns false if it never has.
bool ComesToHold(const fs::path& folder, ptrdiff_t entries) {
  const auto deadline = std::chrono::steady_clock::now() + RawHttpClient::kPatience;
  while (std::distance(fs::directory_iterator(folder), {}) != entries) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST_F(ApiUploadsTest, KeepsTheBytesAndTellsWhatTheyAre) {
  const RawReply reply =
      Ask("PUT /v1/uploads/My%20clip.mp4 HTTP/1.1\r\n"
          "Host: x\r\n"
          "Content-Length: 5\r\n"
          "\r\n"
          "hello");
  EXPECT_EQ(reply.status, 201) << reply.body;
  EXPECT_EQ(reply.Header("Content-Type"), "application/json");
  const nlohmann::json upload = Body(reply);
  EXPECT_EQ(upload["name"], "My clip.mp4");
  EXPECT_EQ(upload["bytes"], 5);
  EXPECT_EQ(upload["sha256"], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  const std::string location = reply.Header("Location");
  EXPECT_EQ(location, "/v1/uploads/" + upload["id"].get<std::string>());
  EXPECT_EQ(upload["links"]["self"], location);

  const RawReply again = Get(location);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(Body(again), upload);
}

TEST_F(ApiUploadsTest, TakesAChunkedBody) {
  const RawReply reply =
      Ask("PUT /v1/uploads/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n");
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(Body(reply)["bytes"], 5);
}

TEST_F(ApiUploadsTest, TakesAnEmptyFile) {
  const RawReply reply = Put("/v1/uploads/empty", "");
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(Body(reply)["bytes"], 0);
}

TEST_F(ApiUploadsTest, LeavesNothingWhenTheClientGoesAway) {
  const fs::path uploads = options_.media.data_dir / "uploads";
  RawHttpClient client = Connect();
  client.Send("PUT /v1/uploads/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf");
  ASSERT_TRUE(ComesToHold(uploads, 1));
  client.Reset();
  EXPECT_TRUE(ComesToHold(uploads, 0));
}

TEST_F(ApiUploadsTest, RefusesMoreThanTheLimit) {
  server_options_.limits.upload_bytes = 10;
  Start();
  ExpectProblem(Put("/v1/uploads/a", "12345678901"), 413, "payload_too_large");
  const RawReply chunked =
      Ask("PUT /v1/uploads/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
          "b\r\n12345678901\r\n0\r\n\r\n");
  ExpectProblem(chunked, 413, "payload_too_large");
  EXPECT_TRUE(ComesToHold(options_.media.data_dir / "uploads", 0));
}

TEST_F(ApiUploadsTest, RefusesANameThatIsTooLong) {
  const RawReply reply = Put("/v1/uploads/" + std::string(256, 'a'), "x");
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Pointers(reply), testing::ElementsAre("/name"));
}

TEST_F(ApiUploadsTest, TellsAClientToTryAgainWhenStorageFails) {
  fs::remove_all(options_.media.data_dir / "uploads");
  std::ofstream(options_.media.data_dir / "uploads") << "in the way";
  const RawReply reply = Put("/v1/uploads/a", "x");
  ExpectProblem(reply, 503, "storage_error");
  EXPECT_NE(reply.Header("Retry-After"), "");
}

TEST_F(ApiUploadsTest, DoesNotKnowAnUploadThatWasNeverMade) {
  ExpectProblem(Get("/v1/uploads/" + NewUploadId()), 404, "upload_not_found");
  ExpectProblem(Get("/v1/uploads/upl_x"), 404, "upload_not_found");
  ExpectProblem(Get("/v1/uploads/..%2F..%2Fetc"), 400, "invalid_request");
}

}  // namespace
}  // namespace millrace::api
