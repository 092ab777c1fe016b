#include "api/routes/dead_letter_files.h"

#include <sys/stat.h>

#include "tests/api/routes/dead_letter_fixture.h"

// Downloads from a dead letter's folder.

namespace millrace::api {
namespace {

using testing::HasSubstr;

class ApiDeadLetterFilesTest : public DeadLetterTest {
 protected:
  ApiDeadLetterFilesTest() {
    std::filesystem::create_directories(folder_);
    WriteReport({{"upload", "upl_0"}, {"file", "input"}});
    Write("log-7.txt", "seven");
    Write("log-12.txt", "twelve");
    Write("input", "0123456789");
    Write("repro.sh", "#!/bin/sh\n");
    Write("excerpt.mkv", "EBML");
  }
  void Write(const std::string& name, std::string_view content) {
    std::ofstream(folder_ / name) << content;
  }
  void WriteReport(const nlohmann::json& input) {
    Write("report.json", nlohmann::json{{"job", id_}, {"generation", 2}, {"input", input}}.dump());
  }
  void BrokerNamesTheInput(const std::string& name) {
    broker_.On(message::kGetDeadLetter, [=](const nlohmann::json& body) -> ScriptedBroker::Reply {
      nlohmann::json letter = Letter(body.at("job_id"));
      letter["input_name"] = name;
      return nlohmann::json{{"dead_letter", letter}};
    });
  }

  const std::filesystem::path folder_ = options_.media.data_dir / "dead-letter" / id_;
};

TEST_F(ApiDeadLetterFilesTest, SendsTheLogOfTheNewestAttempt) {
  const RawReply reply = Get(path_ + "/log");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "twelve") << "12 comes after 7, not before";
  EXPECT_EQ(reply.Header("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(reply.Header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(Get(path_ + "/log?fence=7").body, "seven");
  ExpectProblem(Get(path_ + "/log?fence=8"), 404, "not_found");
  ExpectProblem(Get(path_ + "/log?fence=last"), 400, "invalid_request");
  ExpectProblem(Get(path_ + "/log?fence=0"), 400, "invalid_request");
}

TEST_F(ApiDeadLetterFilesTest, SendsTheEndOfALogThatIsTooLongToRead) {
  const std::string long_log = std::string(32 << 20, '.') + "the end";
  Write("log-13.txt", long_log);
  const RawReply end = Get(path_ + "/log", "Range: bytes=-7\r\n");
  EXPECT_EQ(end.status, 206);
  EXPECT_EQ(end.body, "the end");
  EXPECT_EQ(Get(path_ + "/log").body.size(), long_log.size());
}

TEST_F(ApiDeadLetterFilesTest, SaysThatThereIsNoLog) {
  for (const char* name : {"log-7.txt", "log-12.txt"}) std::filesystem::remove(folder_ / name);
  Write("log-.txt", "x");
  Write("log-7.txt.partial", "x");
  Write("log-7a.txt", "x");
  const RawReply reply = Get(path_ + "/log");
  ExpectProblem(reply, 404, "not_found");
  EXPECT_THAT(Body(reply)["detail"].get<std::string>(), HasSubstr("log"));
}

TEST_F(ApiDeadLetterFilesTest, SendsTheInputUnderItsOwnName) {
  const RawReply reply = Get(path_ + "/input");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "0123456789");
  EXPECT_EQ(reply.Header("Content-Type"), "application/octet-stream");
  EXPECT_EQ(reply.Header("Content-Disposition"), "attachment; filename=\"clip.mp4\"");
  const RawReply part = Get(path_ + "/input", "Range: bytes=2-4\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "234");
  const RawReply head = Ask("HEAD " + path_ + "/input HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("Content-Length"), "10");
  EXPECT_EQ(Get(path_ + "/input", "If-None-Match: " + reply.Header("ETag") + "\r\n").status, 304);
}

TEST_F(ApiDeadLetterFilesTest, ResumesNoDownloadOfAFileThatHasChanged) {
  const std::string etag = Get(path_ + "/input").Header("ETag");
  const std::string resume = "Range: bytes=5-\r\nIf-Range: " + etag + "\r\n";
  EXPECT_EQ(Get(path_ + "/input", resume).body, "56789");
  std::filesystem::remove(folder_ / "input");
  Write("input", "another one");
  const RawReply whole = Get(path_ + "/input", resume);
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.body, "another one");
}

TEST_F(ApiDeadLetterFilesTest, MakesHostileNamesHarmless) {
  const std::pair<std::string, std::string> cases[] = {
      {"../../etc/passwd", "attachment; filename=\"_._.._etc_passwd\""},
      {"..", "attachment; filename=\"_.\""},
      {"", "attachment; filename=\"input\""},
      {"C:\\a.mp4", "attachment; filename=\"C:_a.mp4\""},
      {"a\r\nSet-Cookie: x", "attachment; filename=\"a__Set-Cookie: x\""},
      {"a\".exe", "attachment; filename=\"a_.exe\"; filename*=UTF-8''a%22.exe"},
      {"50%20.mp4", "attachment; filename=\"50_20.mp4\"; filename*=UTF-8''50%2520.mp4"},
      {"caf\xc3\xa9 1.mp4",
       "attachment; filename=\"caf__ 1.mp4\"; filename*=UTF-8''caf%C3%A9%201.mp4"},
  };
  for (const auto& [name, field] : cases) {
    BrokerNamesTheInput(name);
    const RawReply reply = Get(path_ + "/input");
    EXPECT_EQ(reply.status, 200) << name;
    EXPECT_EQ(reply.Header("Content-Disposition"), field) << name;
    EXPECT_EQ(reply.Header("Set-Cookie"), "");
  }
}

TEST_F(ApiDeadLetterFilesTest, SendsTheFileOfTheLibraryThatWasNotCopied) {
  std::filesystem::remove(folder_ / "input");
  WriteReport({{"path", "films/a.mp4"}, {"file", nullptr}});
  ExpectProblem(Get(path_ + "/input"), 404, "not_found");

  options_.media.library_dir = dir_.path() / "library";
  std::filesystem::create_directories(options_.media.library_dir / "films");
  std::ofstream(options_.media.library_dir / "films" / "a.mp4") << "film";
  std::ofstream(dir_.path() / "secret") << "x";
  Start();
  const RawReply reply = Get(path_ + "/input");
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.body, "film");

  std::filesystem::remove(options_.media.library_dir / "films" / "a.mp4");
  ExpectProblem(Get(path_ + "/input"), 404, "not_found");
  WriteReport({{"path", "../secret"}, {"file", nullptr}});
  ExpectProblem(Get(path_ + "/input"), 404, "not_found");
  WriteReport({{"path", 5}});
  ExpectProblem(Get(path_ + "/input"), 404, "not_found");
}

TEST_F(ApiDeadLetterFilesTest, SaysThatTheInputWasNotKept) {
  std::filesystem::remove(folder_ / "input");
  WriteReport({{"upload", "upl_0"}, {"file", nullptr}});
  ExpectProblem(Get(path_ + "/input"), 404, "not_found");
}

TEST_F(ApiDeadLetterFilesTest, SendsAnyFileOfTheFolder) {
  const std::pair<std::string, std::string> cases[] = {
      {"report.json", "application/json"},   {"log-7.txt", "text/plain; charset=utf-8"},
      {"input", "application/octet-stream"}, {"repro.sh", "text/plain; charset=utf-8"},
      {"excerpt.mkv", "video/x-matroska"},
  };
  for (const auto& [name, type] : cases) {
    const RawReply reply = Get(path_ + "/files/" + name);
    EXPECT_EQ(reply.status, 200) << name << reply.body;
    EXPECT_EQ(reply.Header("Content-Type"), type) << name;
    EXPECT_EQ(reply.Header("X-Content-Type-Options"), "nosniff");
  }
  EXPECT_EQ(Get(path_ + "/files/repro.sh", "Range: bytes=0-1\r\n").body, "#!");
}

TEST_F(ApiDeadLetterFilesTest, SendsNothingFromOutsideTheFolder) {
  std::ofstream(options_.media.data_dir / "ledger.db") << "secret";
  std::filesystem::create_symlink(options_.media.data_dir / "ledger.db", folder_ / "link.json");
  std::filesystem::create_symlink("repro.sh", folder_ / "near.sh");
  std::filesystem::create_directory(folder_ / "out");
  Write("out/file", "x");
  Write(".hidden", "x");
  ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  for (const char* name :
       {"link.json", "near.sh", "out", "out%2Ffile", "fifo", ".hidden", "..", ".", "%2E%2E",
        "..%2F..%2Fledger.db", "%2Fetc%2Fpasswd", "nothing", "input%00.txt"}) {
    const RawReply reply = Get(path_ + "/files/" + name);
    EXPECT_TRUE(reply.status == 404 || reply.status == 400) << name << " " << reply.status;
    EXPECT_EQ(reply.Header("Content-Type"), "application/problem+json") << name;
  }
  ExpectProblem(Get(path_ + "/files/" + std::string(4000, 'n')), 404, "not_found");
}

TEST_F(ApiDeadLetterFilesTest, FollowsNoLinkInPlaceOfTheFolderOrTheInput) {
  std::filesystem::remove(folder_ / "input");
  std::filesystem::create_symlink("/etc/passwd", folder_ / "input");
  ExpectProblem(Get(path_ + "/input"), 404, "not_found");
  std::filesystem::rename(folder_, folder_.string() + "-elsewhere");
  std::filesystem::create_directory_symlink(folder_.string() + "-elsewhere", folder_);
  ExpectProblem(Get(path_ + "/log"), 404, "not_found");
}

TEST_F(ApiDeadLetterFilesTest, SaysThatTheFilesAreGone) {
  std::filesystem::remove_all(folder_);
  for (const char* what : {"/log", "/input", "/files/report.json"}) {
    ExpectProblem(Get(path_ + what), 404, "not_found");
  }
}

TEST_F(ApiDeadLetterFilesTest, SaysWhyTheFolderIsGone) {
  std::filesystem::remove_all(folder_);
  for (const char* what : {"/log", "/input", "/files/report.json"}) {
    BrokerShows("redriven");
    EXPECT_EQ(Body(Get(path_ + what))["detail"],
              "the files of this dead letter are gone: its job was redriven, and has ended since");
    BrokerShows("open");
    EXPECT_EQ(Body(Get(path_ + what))["detail"],
              "this dead letter is open, but its folder is not there");
  }
}

TEST_F(ApiDeadLetterFilesTest, SendsNothingOfAnotherGeneration) {
  BrokerShows("redriven");
  Write("report.json", nlohmann::json{{"job", id_}, {"generation", 3}}.dump());
  for (const char* what : {"/log", "/input", "/files/report.json"}) {
    const RawReply reply = Get(path_ + what);
    ExpectProblem(reply, 404, "not_found");
    EXPECT_THAT(Body(reply)["detail"].get<std::string>(), HasSubstr("dies again"));
  }
}

TEST_F(ApiDeadLetterFilesTest, SendsNothingOfALetterThatHasBeenPurged) {
  for (const char* state : {"purged", "expired"}) {
    BrokerShows(state);
    for (const char* what : {"/log", "/input", "/files/report.json"}) {
      const RawReply reply = Get(path_ + what);
      ExpectProblem(reply, 404, "not_found");
      EXPECT_THAT(Body(reply)["detail"].get<std::string>(), HasSubstr(state));
    }
  }
}

TEST_F(ApiDeadLetterFilesTest, FinishesADownloadThoughTheLetterIsPurgedMeanwhile) {
  const std::string big(64 << 20, 'x');
  Write("input", big);
  RawHttpClient client(server_->port(), 4096);
  client.Send("GET " + path_ + "/input HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(client.Skip(1000));
  std::filesystem::remove_all(folder_);
  BrokerShows("purged");
  EXPECT_TRUE(client.Skip(big.size() - 1000));
}

TEST_F(ApiDeadLetterFilesTest, PassesOnThatThereIsNoSuchLetter) {
  BrokerRefuses(message::kGetDeadLetter, ErrorCode::kDeadLetterNotFound);
  for (const char* what : {"/log", "/input", "/files/report.json"}) {
    ExpectProblem(Get(path_ + what), 404, "dead_letter_not_found");
  }
}

TEST(DeadLetterFiles, RevealNoPathToClients) {
  const std::string secret(5000, 's');  // longer than a path may be: it cannot be looked for
  try {
    DeadLetterFiles files("/srv/" + secret);
    ADD_FAILURE() << "the folder was opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kStorageError);
    EXPECT_EQ(ProblemJson(error).dump().find("/srv"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace millrace::api
