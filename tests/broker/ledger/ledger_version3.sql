PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE jobs (
  id              TEXT PRIMARY KEY NOT NULL,
  state           TEXT NOT NULL,
  generation      INTEGER NOT NULL,
  external_id     TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  started_at      INTEGER,
  finished_at     INTEGER,
  published_fence INTEGER NOT NULL,
  request         TEXT NOT NULL,
  input_facts     TEXT,
  media           TEXT,
  files           TEXT NOT NULL,
  warnings        TEXT NOT NULL,
  error           TEXT
, idempotency_key TEXT NOT NULL DEFAULT '', request_fingerprint TEXT NOT NULL DEFAULT '', upload TEXT NOT NULL DEFAULT '', last_progress TEXT);
INSERT INTO jobs VALUES('job_01a20a838c13700180a8eaba4c804783','dead',1,'',1795472722964538,1795472722964538,1795472723014352,0,'{"external_id":"","input":{"upload":"upl_01a20a838bda7001850d8449fd2b7151"},"labels":{},"max_attempts":5,"priority":50,"spec":{"outputs":[{"audio":{"bitrate":128000,"channels":2,"codec":"aac"},"container":"mp4","name":"web","preset":"mp4-h264-720p","video":{"codec":"h264","crf":22.0,"gop_seconds":2.0,"height":720,"speed":"medium","width":1280}},{"name":"poster","preset":"poster","thumbnails":{"count":1,"format":"jpeg","width":1280}}]}}','{"bytes":0,"name":"empty-0-bytes.webm","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}',NULL,'[]','[]','{"code":"empty_input","context":{"stage":"open"},"detail":"the input has no bytes"}','','','upl_01a20a838bda7001850d8449fd2b7151',NULL);
INSERT INTO jobs VALUES('job_01a20a838cb17000b4fa7f158e4eb177','succeeded',1,'',1795472723121988,1795472729417283,1795472729480887,15,'{"external_id":"","input":{"upload":"upl_01a20a838be770009a7e4995bb81a0a5"},"labels":{},"max_attempts":5,"priority":50,"spec":{"outputs":[{"audio":{"bitrate":128000,"channels":2,"codec":"aac"},"container":"m4a","name":"audio","preset":"audio-aac"}]}}','{"bytes":16252,"name":"audio-only-aac.mp4","sha256":"d28ff9cdf937e4dd472972454d2df313448e04aacedba021bf725938cf353164"}','{"bitrate_bps":127217,"bytes":16252,"chapters":0,"duration_seconds":1.022,"format":"mov,mp4,m4a,3gp,3g2,mj2","format_name":"QuickTime / MOV","streams":[{"bitrate_bps":119921,"channel_layout":"stereo","channels":2,"codec":"aac","default":true,"duration_seconds":1.0,"encrypted":false,"index":0,"kind":"audio","profile":"LC","sample_rate":48000,"tags":{"handler_name":"SoundHandler","language":"eng","vendor_id":"[0][0][0][0]"}}],"tags":{"compatible_brands":"isomiso2mp41","encoder":"Lavf55.33.100","major_brand":"isom","minor_version":"512"}}','[{"audio":{"bitrate_bps":123640,"channels":2,"codec":"aac","sample_rate":48000},"bytes":16780,"duration_seconds":1.003,"media_type":"audio/mp4","output":"audio","path":"audio.m4a","sha256":"db836090f98a06b7a933a7d771c1349c632672d52ee61ee21273012e017d3696","video":null}]','[]',NULL,'','','upl_01a20a838be770009a7e4995bb81a0a5',NULL);
INSERT INTO jobs VALUES('job_01a20a838cc3700281d2ade9b89de767','dead',1,'',1795472723141804,1795472730540428,1795472730564098,0,'{"external_id":"","input":{"upload":"upl_01a20a838be770018b6cbd04918af874"},"labels":{},"max_attempts":5,"priority":50,"spec":{"outputs":[{"audio":{"bitrate":128000,"channels":2,"codec":"aac"},"container":"mp4","name":"web","preset":"mp4-h264-720p","video":{"codec":"h264","crf":22.0,"gop_seconds":2.0,"height":720,"speed":"medium","width":1280}},{"name":"poster","preset":"poster","thumbnails":{"count":1,"format":"jpeg","width":1280}}]}}','{"bytes":229660,"name":"unsupported-vvc-h266.mp4","sha256":"f8ed82dffabd10717a9659d48d3ea59c33eccf510e2b0ca6e0b8cedac796d47a"}','{"bitrate_bps":367456,"bytes":229660,"chapters":0,"duration_seconds":5.0,"format":"mov,mp4,m4a,3gp,3g2,mj2","format_name":"QuickTime / MOV","streams":[{"attached_picture":false,"bit_depth":8,"bitrate_bps":363217,"codec":"vvc1","color":{"matrix":"unknown","primaries":"unknown","range":"unknown","transfer":"unknown"},"default":true,"display_height":180,"display_width":320,"duration_seconds":5.0,"encrypted":false,"fps":24.0,"hdr":null,"height":180,"index":0,"kind":"video","mirrored":false,"pixel_format":null,"profile":null,"rotation_degrees":0,"sample_aspect_ratio":"1:1","scan":"progressive","tags":{"encoder":"Lavc62.16.100 libvvenc","handler_name":"\fVideoHandler","language":"und","vendor_id":"[0][0][0][0]"},"width":320}],"tags":{"artist":"Blender Foundation","compatible_brands":"isomiso2mp41","composer":"Blender Foundation","date":"2008","encoder":"Lavf62.6.101","major_brand":"isom","minor_version":"512","title":"Big Buck Bunny"}}','[]','[]','{"code":"no_decoder","context":{"codec":"vvc1","kind":"video","stage":"decode","stream":0},"detail":"there is no decoder for the codec vvc1"}','','','upl_01a20a838be770018b6cbd04918af874',NULL);
INSERT INTO jobs VALUES('job_01a20a79eb1a70009d809fcca4470a46','queued',2,'',1795472091931036,NULL,NULL,0,'{"external_id":"","input":{"upload":"upl_01a20a79c9e770008edc3b8bf2c33385"},"labels":{},"max_attempts":5,"priority":50,"spec":{"outputs":[{"audio":{"bitrate":128000,"channels":2,"codec":"aac"},"container":"mp4","name":"web","preset":"mp4-h264-720p","video":{"codec":"h264","crf":22.0,"gop_seconds":2.0,"height":720,"speed":"medium","width":1280}},{"name":"poster","preset":"poster","thumbnails":{"count":1,"format":"jpeg","width":1280}}]}}','{"bytes":690993,"name":"sdr-720p-aac.mp4","sha256":"b4fef4edbb5c2e0a6bcf10e0c99a2c2fbee9e473d9633eff4d4b17979284084b"}',NULL,'[]','[]',NULL,'','','upl_01a20a79c9e770008edc3b8bf2c33385',NULL);
CREATE TABLE job_labels (
  name       TEXT NOT NULL,
  value      TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  job_id     TEXT NOT NULL REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (name, value, created_at, job_id)
) WITHOUT ROWID;
CREATE TABLE tasks (
  id                      TEXT PRIMARY KEY NOT NULL,
  job_id                  TEXT NOT NULL REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED,
  state                   TEXT NOT NULL,
  fence                   INTEGER NOT NULL,
  attempts_spent          INTEGER NOT NULL,
  infrastructure_failures INTEGER NOT NULL,
  crashed_workers         TEXT NOT NULL,
  last_worker             TEXT NOT NULL,
  due_at                  INTEGER,
  manifest                TEXT,
  failure                 TEXT
);
INSERT INTO tasks VALUES('tsk_01a20a838c147001b518a62e19a7c81e','job_01a20a838c13700180a8eaba4c804783','failed',2,1,0,'[]','host/2',NULL,NULL,'{"error":{"code":"empty_input","context":{"stage":"open"},"detail":"the input has no bytes"},"log_tail":["{\"time\":\"2026-11-23T22:25:22.978Z\",\"level\":\"error\",\"program\":\"millrace-encode\",\"message\":\"the task failed\",\"code\":\"empty_input\",\"context\":{\"stage\":\"open\"},\"detail\":\"the input has no bytes\"}"],"usage":{"cpu_seconds":0.002231,"exit_status":1,"peak_rss_bytes":16523264}}');
INSERT INTO tasks VALUES('tsk_01a20a838cb27000842706f3451fe1fd','job_01a20a838cb17000b4fa7f158e4eb177','done',15,0,0,'[]','host/1',NULL,'{"files":[{"audio":{"bitrate_bps":123640,"channels":2,"codec":"aac","sample_rate":48000},"bytes":16780,"duration_seconds":1.003,"media_type":"audio/mp4","output":"audio","path":"audio.m4a","sha256":"db836090f98a06b7a933a7d771c1349c632672d52ee61ee21273012e017d3696","video":null}],"media":{"bitrate_bps":127217,"bytes":16252,"chapters":0,"duration_seconds":1.022,"format":"mov,mp4,m4a,3gp,3g2,mj2","format_name":"QuickTime / MOV","streams":[{"bitrate_bps":119921,"channel_layout":"stereo","channels":2,"codec":"aac","default":true,"duration_seconds":1.0,"encrypted":false,"index":0,"kind":"audio","profile":"LC","sample_rate":48000,"tags":{"handler_name":"SoundHandler","language":"eng","vendor_id":"[0][0][0][0]"}}],"tags":{"compatible_brands":"isomiso2mp41","encoder":"Lavf55.33.100","major_brand":"isom","minor_version":"512"}},"warnings":[]}',NULL);
INSERT INTO tasks VALUES('tsk_01a20a838cc570009b75cde1525d98c9','job_01a20a838cc3700281d2ade9b89de767','failed',17,1,0,'[]','host/1',NULL,NULL,'{"error":{"code":"no_decoder","context":{"codec":"vvc1","kind":"video","stage":"decode","stream":0},"detail":"there is no decoder for the codec vvc1"},"log_tail":["mov,mp4,m4a,3gp,3g2,mj2: st: 0 edit list: 1 Missing key frame while searching for timestamp: 2560","mov,mp4,m4a,3gp,3g2,mj2: st: 0 edit list 1 Cannot find an index entry before timestamp: 2560.","mov,mp4,m4a,3gp,3g2,mj2: Could not find codec parameters for stream 0 (Video: none (vvc1 / 0x31637676), none(progressive), 320x180, 363 kb/s): unknown codec","Consider increasing the value for the ''analyzeduration'' (0) and ''probesize'' (5000000) options","{\"time\":\"2026-11-23T22:25:30.554Z\",\"level\":\"error\",\"program\":\"millrace-encode\",\"message\":\"the task failed\",\"code\":\"no_decoder\",\"context\":{\"codec\":\"vvc1\",\"kind\":\"video\",\"stage\":\"decode\",\"stream\":0},\"detail\":\"there is no decoder for the codec vvc1\"}"],"usage":{"cpu_seconds":0.004265,"exit_status":1,"peak_rss_bytes":21970944}}');
INSERT INTO tasks VALUES('tsk_01a20a79eb1b7000a948eddce7e8f6b9','job_01a20a79eb1a70009d809fcca4470a46','queued',0,0,0,'[]','',NULL,NULL,NULL);
CREATE TABLE attempts (
  fence       INTEGER PRIMARY KEY,
  task_id     TEXT NOT NULL REFERENCES tasks (id) DEFERRABLE INITIALLY DEFERRED,
  number      INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  worker      TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  finished_at INTEGER,
  outcome     TEXT NOT NULL,
  failure     TEXT,
  versions    TEXT
);
INSERT INTO attempts VALUES(2,'tsk_01a20a838c147001b518a62e19a7c81e',1,1,'host/2',1795472722964538,1795472723003141,'failed','{"error":{"code":"empty_input","context":{"stage":"open"},"detail":"the input has no bytes"},"log_tail":["{\"time\":\"2026-11-23T22:25:22.978Z\",\"level\":\"error\",\"program\":\"millrace-encode\",\"message\":\"the task failed\",\"code\":\"empty_input\",\"context\":{\"stage\":\"open\"},\"detail\":\"the input has no bytes\"}"],"usage":{"cpu_seconds":0.002231,"exit_status":1,"peak_rss_bytes":16523264}}','{"ffmpeg":"5.1.9-0+deb12u1","libavcodec":"59.37.100","libavfilter":"8.44.100","libavformat":"59.27.100","libavutil":"57.28.100","libswresample":"4.7.100","libswscale":"6.7.100"}');
INSERT INTO attempts VALUES(15,'tsk_01a20a838cb27000842706f3451fe1fd',1,1,'host/1',1795472729417283,1795472729479455,'succeeded',NULL,'{"ffmpeg":"5.1.9-0+deb12u1","libavcodec":"59.37.100","libavfilter":"8.44.100","libavformat":"59.27.100","libavutil":"57.28.100","libswresample":"4.7.100","libswscale":"6.7.100"}');
INSERT INTO attempts VALUES(17,'tsk_01a20a838cc570009b75cde1525d98c9',1,1,'host/1',1795472730540428,1795472730556361,'failed','{"error":{"code":"no_decoder","context":{"codec":"vvc1","kind":"video","stage":"decode","stream":0},"detail":"there is no decoder for the codec vvc1"},"log_tail":["mov,mp4,m4a,3gp,3g2,mj2: st: 0 edit list: 1 Missing key frame while searching for timestamp: 2560","mov,mp4,m4a,3gp,3g2,mj2: st: 0 edit list 1 Cannot find an index entry before timestamp: 2560.","mov,mp4,m4a,3gp,3g2,mj2: Could not find codec parameters for stream 0 (Video: none (vvc1 / 0x31637676), none(progressive), 320x180, 363 kb/s): unknown codec","Consider increasing the value for the ''analyzeduration'' (0) and ''probesize'' (5000000) options","{\"time\":\"2026-11-23T22:25:30.554Z\",\"level\":\"error\",\"program\":\"millrace-encode\",\"message\":\"the task failed\",\"code\":\"no_decoder\",\"context\":{\"codec\":\"vvc1\",\"kind\":\"video\",\"stage\":\"decode\",\"stream\":0},\"detail\":\"there is no decoder for the codec vvc1\"}"],"usage":{"cpu_seconds":0.004265,"exit_status":1,"peak_rss_bytes":21970944}}','{"ffmpeg":"5.1.9-0+deb12u1","libavcodec":"59.37.100","libavfilter":"8.44.100","libavformat":"59.27.100","libavutil":"57.28.100","libswresample":"4.7.100","libswscale":"6.7.100"}');
CREATE TABLE events (
  sequence   INTEGER PRIMARY KEY,
  job_id     TEXT NOT NULL,
  generation INTEGER NOT NULL,
  event      TEXT NOT NULL,
  state      TEXT NOT NULL,
  at         INTEGER NOT NULL
);
INSERT INTO events VALUES(1,'job_01a20a838c13700180a8eaba4c804783',1,'submit','queued',1795472722964538);
INSERT INTO events VALUES(2,'job_01a20a838c13700180a8eaba4c804783',1,'start','running',1795472722964538);
INSERT INTO events VALUES(3,'job_01a20a838c13700180a8eaba4c804783',1,'bury','dead',1795472723014352);
INSERT INTO events VALUES(4,'job_01a20a838cb17000b4fa7f158e4eb177',1,'submit','queued',1795472723121988);
INSERT INTO events VALUES(5,'job_01a20a838cc3700281d2ade9b89de767',1,'submit','queued',1795472723141804);
INSERT INTO events VALUES(6,'job_01a20a838cb17000b4fa7f158e4eb177',1,'start','running',1795472729417283);
INSERT INTO events VALUES(7,'job_01a20a838cb17000b4fa7f158e4eb177',1,'publish','publishing',1795472729479455);
INSERT INTO events VALUES(8,'job_01a20a838cb17000b4fa7f158e4eb177',1,'published','succeeded',1795472729480887);
INSERT INTO events VALUES(9,'job_01a20a838cc3700281d2ade9b89de767',1,'start','running',1795472730540428);
INSERT INTO events VALUES(10,'job_01a20a838cc3700281d2ade9b89de767',1,'bury','dead',1795472730564098);
INSERT INTO events VALUES(11,'job_01a20a79eb1a70009d809fcca4470a46',1,'submit','queued',1795472091931036);
CREATE TABLE counters (
  name  TEXT PRIMARY KEY NOT NULL,
  value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counters VALUES('fence',17);
INSERT INTO counters VALUES('sequence',11);
CREATE TABLE dead_letters (
  job_id         TEXT NOT NULL REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED,
  generation     INTEGER NOT NULL,
  state          TEXT NOT NULL,
  died_at        INTEGER NOT NULL,
  closed_at      INTEGER,
  code           TEXT NOT NULL,
  blame          TEXT NOT NULL,
  detail         TEXT NOT NULL,
  stage          TEXT NOT NULL,
  codec          TEXT NOT NULL,
  signature      TEXT NOT NULL,
  signature_text TEXT NOT NULL,
  input_name     TEXT NOT NULL,
  input_sha256   TEXT NOT NULL,
  worker         TEXT NOT NULL,
  PRIMARY KEY (job_id, generation)
);
INSERT INTO dead_letters VALUES('job_01a20a838c13700180a8eaba4c804783',1,'open',1795472723014352,NULL,'empty_input','media','the input has no bytes','open','','10e6c6aa019bb93f','empty_input in open: the input has no bytes','empty-0-bytes.webm','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','host/2');
INSERT INTO dead_letters VALUES('job_01a20a838cc3700281d2ade9b89de767',1,'open',1795472730564098,NULL,'no_decoder','media','there is no decoder for the codec vvc1','decode','vvc1','f63fcd601193c5c4','no_decoder in decode of vvc1: there is no decoder for the codec vvc1','unsupported-vvc-h266.mp4','f8ed82dffabd10717a9659d48d3ea59c33eccf510e2b0ca6e0b8cedac796d47a','host/1');
CREATE TABLE redrives (
  id                TEXT PRIMARY KEY NOT NULL,
  state             TEXT NOT NULL,
  created_at        INTEGER NOT NULL,
  canary            TEXT NOT NULL,
  canary_generation INTEGER NOT NULL,
  waiting           TEXT NOT NULL,
  patch             TEXT
, job_count INTEGER NOT NULL DEFAULT 0);
INSERT INTO redrives VALUES('rdr_01a20a8400007000a0000000000000a1','waiting',1785000000000000,'job_01a20a79eb1a70009d809fcca4470a46',2,'["job_01a20a838c13700180a8eaba4c804783","job_01a20a838cc3700281d2ade9b89de767"]',NULL,3);
INSERT INTO redrives VALUES('rdr_01a20a8400007000a0000000000000a2','stopped',1785000000000001,'job_01a20a838cc3700281d2ade9b89de767',2,'["job_01a20a838c13700180a8eaba4c804783"]','{"outputs":[]}',2);
INSERT INTO redrives VALUES('rdr_01a20a8400007000a0000000000000a3','released',1785000000000002,'job_01a20a838cb17000b4fa7f158e4eb177',1,'[]',NULL,1);
INSERT INTO redrives VALUES('rdr_01a20a8400007000a0000000000000a4','released',1785000000000003,'',0,'[]',NULL,0);
CREATE TABLE removed_jobs (
  last_event_at INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,
  job_id        TEXT NOT NULL,
  PRIMARY KEY (last_event_at, last_sequence)
) WITHOUT ROWID;
CREATE TABLE removed_events (
  first INTEGER PRIMARY KEY,
  last  INTEGER NOT NULL
);
CREATE TABLE purges (
  id         TEXT PRIMARY KEY NOT NULL,
  job_count  INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_by_time ON jobs (created_at, id);
CREATE INDEX jobs_by_state ON jobs (state, created_at, id);
CREATE INDEX jobs_by_external_id ON jobs (external_id, created_at, id) WHERE external_id <> '';
CREATE INDEX tasks_by_job ON tasks (job_id);
CREATE INDEX attempts_by_task ON attempts (task_id, fence);
CREATE UNIQUE INDEX jobs_by_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX jobs_by_upload ON jobs (upload) WHERE upload <> '';
CREATE INDEX jobs_ended ON jobs (state, finished_at, id)
  WHERE state IN ('succeeded', 'cancelled', 'dead');
CREATE INDEX job_labels_by_job ON job_labels (job_id);
CREATE INDEX dead_letters_by_time ON dead_letters (died_at, job_id, generation);
CREATE INDEX dead_letters_by_state ON dead_letters (state, died_at, job_id, generation);
CREATE INDEX dead_letters_by_signature ON dead_letters (signature, died_at, job_id, generation);
CREATE INDEX dead_letters_poison ON dead_letters (died_at, job_id)
  WHERE state = 'open' AND code = 'poison' AND input_sha256 <> '';
CREATE INDEX redrives_waiting ON redrives (created_at, id) WHERE state = 'waiting';
CREATE INDEX redrives_by_canary ON redrives (canary);
CREATE INDEX events_by_job ON events (job_id, sequence);
CREATE INDEX redrives_settled ON redrives (created_at, id) WHERE state <> 'waiting';
CREATE INDEX purges_by_time ON purges (created_at, id);
COMMIT;
PRAGMA application_id = 1296847427;
PRAGMA user_version = 3;
