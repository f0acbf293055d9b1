//! Files by Java Hudi, made as `golden/timeline/README.md` says, arbitrary and hostile ones.

use std::path::Path;

use bytes::Bytes;
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;

use super::*;
use crate::allocations::largest_allocation;
use crate::instant::{InstantTime, TimelineZone};
use crate::parquet_guard::check_page_header;
use crate::timeline_file::Action;
use crate::timeline_metadata::{CleanerPlan, CommitMetadata, RequestedReplaceMetadata};

const FIRST: &str = "20261123194347750_20261123194355762_0.parquet";
const SECOND: &str = "20261123194356710_20261123194357621_0.parquet";

fn golden(name: &str) -> Bytes {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/timeline/history");
    std::fs::read(folder.join(name)).unwrap().into()
}

fn time(text: &str) -> InstantTime {
    text.parse().unwrap()
}

#[test]
fn names_round_trip_and_others_are_refused() {
    let name: HistoryFileName = FIRST.parse().unwrap();
    assert_eq!((name.min, name.max, name.level), (time("20261123194347750"), time("20261123194355762"), 0));
    assert_eq!(name.to_string(), FIRST);
    for other in [
        "20261123194347750_20261123194355762.parquet",
        "20261123194347750_20261123194355762_10.parquet",
        "20261123194347750_20261123194355762_x.parquet",
        "a_b_0.parquet",
        "20261123194347750_20261123194355762_0.orc",
        "manifest_1",
    ] {
        assert!(other.parse::<HistoryFileName>().is_err(), "{other}");
    }
}

#[test]
fn manifests_of_java_come_back_byte_for_byte() {
    let one = HistoryManifest::from_json(&golden("manifest_1")).unwrap();
    let two = HistoryManifest::from_json(&golden("manifest_2")).unwrap();
    let entry =
        |name: &str| HistoryFile { file_name: name.parse().unwrap(), file_len: golden(name).len() as u64 };
    assert_eq!(one.files, [entry(FIRST)]);
    assert_eq!(two.files, [entry(FIRST), entry(SECOND)]);
    assert_eq!(one.to_json(), golden("manifest_1"));
    assert_eq!(two.to_json(), golden("manifest_2"));
}

#[test]
fn an_empty_manifest_is_no_files() {
    assert_eq!(HistoryManifest::from_json(b""), Ok(HistoryManifest::default()));
    let json = HistoryManifest::default().to_json();
    assert_eq!(String::from_utf8_lossy(&json), "{\n  \"files\" : [ ]\n}");
    assert_eq!(HistoryManifest::from_json(&json), Ok(HistoryManifest::default()));
}

#[test]
fn manifests_of_another_form_are_refused() {
    for text in [
        "{",
        "[]",
        "[[]]",
        "{}",
        r#"{"files":[{"fileName":"x","fileLen":1}]}"#,
        r#"{"files":[{"fileLen":1}]}"#,
    ] {
        assert!(
            matches!(HistoryManifest::from_json(text.as_bytes()), Err(HistoryError::Manifest { .. })),
            "{text}"
        );
    }
}

#[test]
fn snapshots_are_numbered() {
    assert_eq!(parse_version(&golden(VERSION_FILE)), Ok(2));
    assert_eq!(manifest_version(&manifest_name(17)), Some(17));
    for name in ["manifest_", "manifest_+1", "manifest_1.tmp", "_version_", "manifest_99999999999"] {
        assert_eq!(manifest_version(name), None, "{name}");
    }
    for text in ["", "1\n", "-1", "x"] {
        assert!(parse_version(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn archived_instants_of_java_are_read() {
    let entries = read_entries(&golden(FIRST), HistoryColumns::All).unwrap();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    let want =
        "commit commit commit commit clean replacecommit replacecommit replacecommit clean commit commit";
    assert_eq!(actions.join(" "), want);
    let first = &entries[0];
    assert_eq!((first.instant, first.completion), (time("20261123194347750"), time("20261123194348340")));
    assert_eq!((first.plan.as_ref(), first.version), (None, HistoryEntry::VERSION));
    assert!(CommitMetadata::from_bytes(first.metadata.as_ref().unwrap()).is_ok());
    assert!(CleanerPlan::from_avro(entries[4].plan.as_ref().unwrap()).is_ok());
    // A clustering keeps its plan, an overwrite its work profile.
    assert!(RequestedReplaceMetadata::from_avro(entries[5].plan.as_ref().unwrap()).is_ok());
    assert!(CommitMetadata::from_avro(entries[6].plan.as_ref().unwrap()).is_ok());
}

#[test]
fn archived_metadata_is_the_file_itself() {
    let entries = read_entries(&golden(FIRST), HistoryColumns::All).unwrap();
    for (at, name) in [(2, "upsert.commit"), (4, "by_commits.clean"), (5, "clustering.replacecommit")] {
        let file = golden(&format!("../copy_on_write/{name}"));
        assert_eq!(entries[at].metadata.as_ref(), Some(&file), "{name}");
    }
}

#[test]
fn instants_can_be_read_without_their_content() {
    let all = read_entries(&golden(FIRST), HistoryColumns::All).unwrap();
    let bare = read_entries(&golden(FIRST), HistoryColumns::Instants).unwrap();
    let strip = |entry| HistoryEntry { metadata: None, plan: None, ..entry };
    assert_eq!(bare, all.into_iter().map(strip).collect::<Vec<_>>());
}

#[test]
fn what_is_written_has_the_columns_and_the_footer_of_java() {
    let theirs = golden(FIRST);
    let entries = read_entries(&theirs, HistoryColumns::All).unwrap();
    let ours = Bytes::from(write_entries(&entries).unwrap());
    assert_eq!(read_entries(&ours, HistoryColumns::All).unwrap(), entries);

    let open = |bytes: &Bytes| SerializedFileReader::new(bytes.clone()).unwrap().metadata().clone();
    let (ours, theirs) = (open(&ours), open(&theirs));
    let (ours, theirs) = (&ours, &theirs);
    assert_eq!(ours.file_metadata().schema(), theirs.file_metadata().schema());
    let footer = |metadata: &parquet::file::metadata::ParquetMetaData| {
        let mut pairs = metadata.file_metadata().key_value_metadata().unwrap().clone();
        pairs.sort_by(|a, b| a.key.cmp(&b.key));
        pairs
    };
    assert_eq!(footer(ours), footer(theirs));
    assert_eq!(ours.num_row_groups(), 1);
    for (a, b) in ours.row_group(0).columns().iter().zip(theirs.row_group(0).columns()) {
        assert_eq!(std::mem::discriminant(&a.compression()), std::mem::discriminant(&b.compression()));
    }
}

#[test]
fn files_of_java_are_merged_and_keep_every_row() {
    let files = [golden(FIRST), golden(SECOND)];
    let merged = Bytes::from(merge_files(&files).unwrap());
    let rows = |file: &Bytes| read_entries(file, HistoryColumns::All).unwrap();
    assert_eq!(rows(&merged), files.iter().flat_map(rows).collect::<Vec<_>>());
    assert_eq!(merged, Bytes::from(write_entries(&rows(&merged)).unwrap()));
    assert!(merge_files(&[golden(FIRST), golden(SECOND).slice(..99)]).is_err());
}

#[test]
fn a_large_merge_has_several_row_groups() {
    // Nothing that repeats, so that it packs to what it is.
    let mut state = 1_u64;
    let mut noise = |len: usize| -> Vec<u8> {
        let next = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        next.take(len).collect()
    };
    let entries: Vec<_> = (0..40).map(|i| entry(i, 0, Some(noise(1 << 20)), None)).collect();
    let files = entries.chunks(20).map(|rows| Bytes::from(write_entries(rows).unwrap()));
    let merged = Bytes::from(merge_files(&files.collect::<Vec<_>>()).unwrap());
    let groups = SerializedFileReader::new(merged.clone()).unwrap().metadata().num_row_groups();
    assert_eq!(groups, 2);
    assert_eq!(read_entries(&merged, HistoryColumns::All).unwrap(), entries);
    assert_eq!(greatest_completion(&merged), Ok(Some(entries[39].completion)));
}

#[test]
fn footers_tell_when_the_last_instant_completed() {
    for name in [FIRST, SECOND] {
        let file = golden(name);
        let last = read_entries(&file, HistoryColumns::Instants).unwrap().iter().map(|e| e.completion).max();
        assert_eq!(greatest_completion(&file), Ok(last), "{name}");
        assert_eq!(greatest_completion(&file[file.len() - 2000..]), Ok(last), "{name}");
        // Too little to tell.
        assert_eq!(greatest_completion(&file[file.len() - 200..]), Ok(None), "{name}");
        for at in 0..file.len() {
            let mut flipped = file.to_vec();
            flipped[at] ^= 1;
            let _ = greatest_completion(&flipped);
        }
    }
    assert_eq!(greatest_completion(b"PAR1"), Ok(None));
    let ours = write_entries(&[entry(2, 0, None, None), entry(1, 0, None, None)]).unwrap();
    assert_eq!(greatest_completion(&ours), Ok(Some(entry(2, 0, None, None).completion)));
}

fn at(millis: i64) -> InstantTime {
    InstantTime::from_unix_millis(millis, TimelineZone::Utc)
}

fn entry(instant: u32, action: usize, metadata: Option<Vec<u8>>, plan: Option<Vec<u8>>) -> HistoryEntry {
    let millis = i64::from(instant) * 977;
    HistoryEntry {
        instant: at(millis),
        completion: at(millis + 1),
        action: Action::ALL[action % Action::ALL.len()],
        metadata: metadata.map(Bytes::from),
        plan: plan.map(Bytes::from),
        version: HistoryEntry::VERSION,
    }
}

fn some_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..200))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_entries_round_trip(
        rows in prop::collection::vec((any::<u32>(), any::<usize>(), some_bytes(), some_bytes()), 0..60)
    ) {
        let entries: Vec<_> = rows.into_iter().map(|(i, a, m, p)| entry(i, a, m, p)).collect();
        let file = Bytes::from(write_entries(&entries).unwrap());
        prop_assert_eq!(read_entries(&file, HistoryColumns::All).unwrap(), entries);
    }

    #[test]
    fn any_manifest_round_trips(files in prop::collection::vec((any::<u32>(), 0..10_u8, any::<u64>()), 0..5)) {
        let files = files.into_iter().map(|(min, level, file_len)| {
            let millis = i64::from(min) * 977;
            HistoryFile { file_name: HistoryFileName { min: at(millis), max: at(millis + 1), level }, file_len }
        });
        let manifest = HistoryManifest { files: files.collect() };
        prop_assert_eq!(HistoryManifest::from_json(&manifest.to_json()), Ok(manifest));
    }
}

/// Reads a file that was tampered with, and checks what memory that took.
fn read_tampered(file: &Bytes) -> Result<Vec<HistoryEntry>, HistoryError> {
    let (read, largest_bytes) = largest_allocation(|| read_entries(file, HistoryColumns::All));
    let allowed_bytes = (64 << 10) + 64 * file.len();
    assert!(largest_bytes <= allowed_bytes, "{largest_bytes} bytes at once for {}", file.len());
    read
}

#[test]
fn nothing_that_was_cut_off_is_read() {
    let file = golden(SECOND);
    for end in 0..file.len() {
        let cut = file.slice(..end);
        assert!(matches!(read_tampered(&cut), Err(HistoryError::Parquet { .. })), "{end}");
    }
}

#[test]
fn flipped_bits_never_panic() {
    let file = golden(SECOND).to_vec();
    for at in 0..file.len() {
        for bit in [0, 3, 7] {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            let _ = read_tampered(&flipped.into());
        }
    }
}

/// Thrift spells lengths and counts so that the upper bit of a byte says that there is more.
#[test]
fn lying_numbers_are_survived() {
    let file = golden(SECOND).to_vec();
    let lies = [&[0xfe, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0xff, 0x07], &[0xff, 0x7f]];
    for (at, lie) in (0..file.len()).zip(lies.iter().cycle()) {
        let mut lying = file.clone();
        let end = (at + lie.len()).min(lying.len());
        lying[at..end].copy_from_slice(&lie[..end - at]);
        let _ = read_tampered(&lying.into());
    }
}

#[test]
fn hostile_manifests_are_an_error() {
    let json = golden("manifest_2");
    let read = |bytes: &[u8]| {
        let (read, largest_bytes) = largest_allocation(|| HistoryManifest::from_json(bytes));
        assert!(largest_bytes <= 4096 + 64 * bytes.len(), "{largest_bytes} bytes at once");
        read
    };
    for end in 1..json.len() {
        assert!(read(&json[..end]).is_err(), "{end}");
    }
    for at in 0..json.len() {
        for bit in 0..8 {
            let mut flipped = json.to_vec();
            flipped[at] ^= 1 << bit;
            let _ = read(&flipped);
        }
    }
    let deep = "[".repeat(100_000);
    assert!(read(deep.as_bytes()).is_err() && read(format!("{{\"files\":{deep}").as_bytes()).is_err());
}

/// A footer in Thrift's compact encoding, with its length and magic.
fn with_footer(body: &[u8], footer: &[u8]) -> Bytes {
    let len = u32::try_from(footer.len()).unwrap();
    [body, footer, &len.to_le_bytes(), b"PAR1"].concat().into()
}

#[test]
fn a_footer_that_declares_row_groups_by_the_billion_is_refused_unread() {
    // Field 4, a list of 2^31 - 1 structs.
    let file = with_footer(b"PAR1", &[0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00]);
    let error = read_entries(&file, HistoryColumns::All).unwrap_err();
    assert!(error.to_string().contains("claims more than there are bytes"), "{error}");
}

#[test]
fn a_footer_that_nests_without_end_is_refused() {
    let file = with_footer(b"PAR1", &[0x1c; 100_000]);
    let error = read_entries(&file, HistoryColumns::All).unwrap_err();
    assert!(error.to_string().contains("nests too deep"), "{error}");
}

#[test]
fn a_page_that_declares_gigabytes_is_refused_unread() {
    // Fields 1 to 3: data page, unpacked 2^31 - 1, packed 1.
    let page = [0x15, 0x00, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15, 0x02, 0x00, 0x00];
    assert!(check_page_header(&page).is_err());
    let sane = [0x15, 0x00, 0x15, 0x08, 0x15, 0x02, 0x00, 0x00];
    assert_eq!(check_page_header(&sane).map(|page| page.unpacked_bytes), Ok(4));
}

#[test]
fn a_dictionary_that_declares_values_by_the_billion_is_refused_unread() {
    // Fields 1 to 3: dictionary page, unpacked 8, packed 1; field 7: its count and encoding.
    let page = |dictionary: &[u8]| {
        let header = [&[0x15, 0x04, 0x15, 0x10, 0x15, 0x02][..], dictionary, &[0x00]].concat();
        check_page_header(&header).map(|page| page.unpacked_bytes)
    };
    assert_eq!(page(&[0x4c, 0x15, 0x02, 0x15, 0x00, 0x00]), Ok(8));
    let billions = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    let claimed = [&[0x4c, 0x15][..], &billions, &[0x15, 0x00, 0x00]].concat();
    assert_eq!(page(&claimed), Err("a dictionary claims more values than its bytes can hold"));
    // The library reads the count whatever its type: here a number of 64 bits.
    let disguised = [&[0x4c, 0x16][..], &billions, &[0x15, 0x00, 0x00]].concat();
    assert_eq!(page(&disguised), Err("a page header holds a field of a wrong type"));
    let far = [0x5c, 0x00, 0x0c, 0x8e, 0x80, 0x08, 0x15, 0x02, 0x00];
    assert_eq!(page(&far), Err("a header numbers a field as Thrift cannot"));
}

/// Commits that say the same, `count` of them, in a file with a dictionary.
fn repeating(count: u32) -> (Vec<HistoryEntry>, Bytes) {
    let metadata = Some(Bytes::from(vec![7; 200_000]));
    let of = |i| HistoryEntry { metadata: metadata.clone(), ..entry(i, 0, None, None) };
    let entries: Vec<_> = (0..count).map(of).collect();
    let mut writer = ArrowWriter::try_new(Vec::new(), write::to_batch(&[]).unwrap().schema(), None).unwrap();
    entries.chunks(16).for_each(|rows| writer.write(&write::to_batch(rows).unwrap()).unwrap());
    let file = Bytes::from(writer.into_inner().unwrap());
    assert!(file.len() < 300_000, "{}", file.len());
    (entries, file)
}

#[test]
fn commits_that_say_the_same_are_read_and_held_once() {
    let (entries, file) = repeating(400);
    let read = read_entries(&file, HistoryColumns::All).unwrap();
    assert_eq!(read, entries);
    let pointers: std::collections::BTreeSet<_> =
        read.iter().map(|entry| entry.metadata.as_ref().unwrap().as_ptr()).collect();
    assert_eq!(pointers.len(), 1);
}

#[test]
fn a_dictionary_cannot_multiply_one_value_without_end() {
    let (_, file) = repeating(1500);
    let error = read_entries(&file, HistoryColumns::All).unwrap_err();
    assert!(error.to_string().contains("more than its pages"), "{error}");
    assert_eq!(read_entries(&file, HistoryColumns::Instants).unwrap().len(), 1500);
}

#[test]
fn what_is_written_can_be_read_however_often_it_repeats() {
    let (entries, _) = repeating(1500);
    let files = entries.chunks(500).map(|rows| Bytes::from(write_entries(rows).unwrap()));
    let merged = Bytes::from(merge_files(&files.collect::<Vec<_>>()).unwrap());
    assert!(merged.len() < 2 << 20, "{}", merged.len());
    assert_eq!(read_entries(&merged, HistoryColumns::All).unwrap(), entries);
}

#[test]
fn files_with_other_columns_or_values_are_named() {
    let text = |values: [&str; 1]| -> arrow::array::ArrayRef {
        std::sync::Arc::new(arrow::array::StringArray::from_iter_values(values))
    };
    let file = |columns: Vec<(&str, arrow::array::ArrayRef)>| {
        let batch = arrow::array::RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        Bytes::from(writer.into_inner().unwrap())
    };
    let odd = file(vec![("instantTime", text(["20260101000000000"]))]);
    let error = read_entries(&odd, HistoryColumns::All).unwrap_err();
    assert_eq!(error, HistoryError::Column { column: "completionTime", expected: "binary (string)" });

    let bad = file(vec![
        ("instantTime", text(["20260101000000000"])),
        ("completionTime", text(["20260101000000000"])),
        ("action", text(["teleport"])),
        ("version", std::sync::Arc::new(arrow::array::Int32Array::from(vec![1]))),
    ]);
    let error = read_entries(&bad, HistoryColumns::Instants).unwrap_err();
    let want = "row 0 of the archived instants: action is \"teleport\", expected an action of the timeline";
    assert_eq!(error.to_string(), want);
}
