//! Lists of pictures: CSV and JSON lines from files, a path or address a line from files and standard input.
//!
//! They are read as they are needed, a line at a time. What is wrong with a line fails that line alone,
//! by its number. Tables are read as spreadsheets write them: with a byte order mark, with commas, semicolons or tabs
//! between the columns (or what a first line `sep=;` says), blanks around names and values.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use crate::cli::exit::Usage;
use crate::cli::near;

/// No path is longer, and no object has to be.
const LONGEST_LINE: u64 = 64 << 10;
/// Separators between the columns of a table.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// A picture, or a folder of them, that a list names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListedSource {
    pub(super) given: Given,
    /// What the results are called, instead of by the source.
    pub(super) name: Option<String>,
    /// Where they go below the output folder.
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    Path(PathBuf),
    Url(Url),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Json,
    /// Each a path, an address, or an object as in JSON lines.
    Lines,
    /// The same between NULs, without objects.
    Nul,
}

#[derive(Debug)]
pub(super) struct List {
    /// None: standard input.
    file: Option<PathBuf>,
    form: Form,
}

/// An entry as CSV and JSON write it.
#[derive(Deserialize)]
struct Written {
    path: Option<String>,
    url: Option<String>,
    name: Option<String>,
    out: Option<String>,
}

impl List {
    /// # Errors
    /// A list that is not there, or whose first line does not say which column is which.
    pub(super) fn open(place: &Path, nul: bool) -> Result<Self, Usage> {
        if place.as_os_str() == "-" {
            return Ok(Self { file: None, form: if nul { Form::Nul } else { Form::Lines } });
        }
        let ending = place.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let form = match ending.as_deref() {
            _ if nul => Form::Nul,
            Some("csv") => Form::Csv,
            Some("jsonl" | "ndjson") => Form::Json,
            _ => Form::Lines,
        };
        let list = Self { file: Some(place.to_owned()), form };
        let fault = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => near::no_such_file(place),
            _ => format!("--list {}: {error}", place.display()),
        };
        let file = File::open(place).map_err(|error| Usage(fault(error)))?;
        if form == Form::Csv {
            let head = table_of(file).and_then(|(mut table, _)| Ok(heads(table.byte_headers()?)));
            let head = head.map_err(|error| Usage(format!("{}: {error}", place.display())))?;
            if !names_pictures(&head) {
                return Err(Usage(format!(
                    "{}: the first line names no column `path` or `url`, only {}; columns are separated by commas, \
                     semicolons or tabs",
                    place.display(),
                    head.join(", ")
                )));
            }
        }
        Ok(list)
    }

    /// Whether it can be read more than once.
    pub(super) fn is_lasting(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_file())
    }

    pub(super) fn shown(&self) -> String {
        self.file.as_ref().map_or_else(|| "stdin".to_owned(), |file| file.display().to_string())
    }

    /// Hands out the entries with the numbers of their lines, or what is wrong with them.
    ///
    /// # Errors
    /// When it cannot be read further.
    pub(super) fn each(
        &self,
        take: &mut dyn FnMut(u64, Result<ListedSource, String>) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let reader: Box<dyn Read> = match &self.file {
            Some(file) => Box::new(File::open(file)?),
            None => Box::new(io::stdin()),
        };
        if self.form == Form::Csv { table(reader, take) } else { lines(reader, self.form, take) }
    }
}

/// The same bytes without a byte order mark at their beginning.
///
/// # Errors
/// `InvalidData` where the mark is UTF-16's.
fn unmarked<R: Read>(mut reader: R) -> io::Result<impl Read> {
    let mut begin = Vec::with_capacity(UTF_8_MARK.len());
    reader.by_ref().take(UTF_8_MARK.len() as u64).read_to_end(&mut begin)?;
    if begin.starts_with(b"\xff\xfe") || begin.starts_with(b"\xfe\xff") {
        let said = "is written in UTF-16; save it as UTF-8 (PowerShell: `Out-File -Encoding utf8`)";
        return Err(io::Error::new(io::ErrorKind::InvalidData, said));
    }
    if begin == UTF_8_MARK {
        begin.clear();
    }
    Ok(Cursor::new(begin).chain(reader))
}

fn csv_reader<R: Read>(reader: R, separator: u8) -> csv::Reader<R> {
    csv::ReaderBuilder::new().flexible(true).delimiter(separator).from_reader(reader)
}

/// A table whose separator is the one by which its first line names a column that is known; and what is to be added to the
/// numbers of its lines.
fn table_of<R: Read>(reader: R) -> io::Result<(csv::Reader<impl Read>, u64)> {
    let mut reader = BufReader::new(unmarked(reader)?);
    let mut first = Vec::new();
    reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut first)?;
    // A record's position is counted before the second byte of the line's end in front of it.
    let uncounted = u64::from(first.ends_with(b"\r\n"));
    let named = match first.trim_ascii_end() {
        // `sep=;` sets the separator, as in spreadsheets; the columns' names are on the next line.
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator] => Some(*separator),
        _ => None,
    };
    let separator = match named {
        Some(separator) => {
            // An empty line is passed by, and counted.
            first = b"\n".to_vec();
            separator
        }
        None => *SEPARATORS
            .iter()
            .find(|separator| {
                let mut line = csv_reader(first.as_slice(), **separator);
                line.byte_headers().is_ok_and(|head| names_pictures(&heads(head)))
            })
            .unwrap_or(&SEPARATORS[0]),
    };
    Ok((csv_reader(Cursor::new(first).chain(reader), separator), uncounted))
}

/// The columns' names, in lower case and without blanks around them; quotation marks behind a blank quote nothing.
fn heads(line: &csv::ByteRecord) -> Vec<String> {
    line.iter().map(|name| String::from_utf8_lossy(name).trim().trim_matches('"').to_lowercase()).collect()
}

fn names_pictures(heads: &[String]) -> bool {
    heads.iter().any(|name| matches!(name.as_str(), "path" | "url"))
}

fn table(
    reader: impl Read,
    take: &mut dyn FnMut(u64, Result<ListedSource, String>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let (mut reader, uncounted) = table_of(reader)?;
    let head = heads(reader.byte_headers()?);
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        let number = record.position().map_or(0, csv::Position::line) + uncounted;
        let cell = |name: &str| {
            let column = head.iter().position(|one| one == name)?;
            record.get(column).map(<[u8]>::trim_ascii).filter(|cell| !cell.is_empty())
        };
        let text = |name: &str| cell(name).map(|cell| String::from_utf8_lossy(cell).into_owned());
        let quoted =
            |cell: &[u8]| cell.first().is_some_and(u8::is_ascii_whitespace) && cell.trim_ascii().starts_with(b"\"");
        let entry = match (cell("path"), text("url")) {
            _ if record.iter().any(quoted) => {
                Err("has a blank before a quotation mark, so the mark does not quote: remove the blank".into())
            }
            (None, None) => Err("names neither path nor url".to_owned()),
            (_, Some(url)) => address(&url).map(Given::Url),
            (Some(path), None) => bare(path.to_vec()),
        };
        let entry = entry.map(|given| ListedSource { given, name: text("name"), out: text("out").map(PathBuf::from) });
        if take(number, entry).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn lines(
    reader: impl Read,
    form: Form,
    take: &mut dyn FnMut(u64, Result<ListedSource, String>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut reader = BufReader::with_capacity(64 << 10, unmarked(reader)?);
    let end = if form == Form::Nul { 0 } else { b'\n' };
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if (&mut reader).take(LONGEST_LINE).read_until(end, &mut line)? == 0 {
            break;
        }
        let entry = if line.last() != Some(&end) && line.len() as u64 == LONGEST_LINE {
            reader.skip_until(end)?;
            Err(format!("is longer than {LONGEST_LINE} bytes"))
        } else {
            let mut line = line.strip_suffix(&[end]).unwrap_or(&line);
            if form != Form::Nul {
                line = line.strip_suffix(b"\r").unwrap_or(line);
            }
            if line.is_empty() {
                continue;
            }
            if form == Form::Json || form == Form::Lines && line.starts_with(b"{") { object(line) } else { plain(line) }
        };
        if take(number, entry).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn plain(line: &[u8]) -> Result<ListedSource, String> {
    bare(line.to_vec()).map(|given| ListedSource { given, name: None, out: None })
}

fn object(line: &[u8]) -> Result<ListedSource, String> {
    if line.starts_with(b"\"") {
        let path: String = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        return plain(path.as_bytes());
    }
    let written: Written = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let given = match (written.path, written.url) {
        (_, Some(url)) => Given::Url(address(&url)?),
        (Some(path), None) if !path.is_empty() => bare(path.into_bytes())?,
        _ => return Err("names neither path nor url".into()),
    };
    Ok(ListedSource { given, name: written.name, out: written.out.map(PathBuf::from) })
}

/// A path or an address, by its beginning.
fn bare(line: Vec<u8>) -> Result<Given, String> {
    match std::str::from_utf8(&line) {
        Ok(text) if is_address(text) => address(text).map(Given::Url),
        _ => Ok(Given::Path(OsString::from_vec(line).into())),
    }
}

pub(super) fn is_address(text: &str) -> bool {
    let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    begins("http://") || begins("https://")
}

pub(super) fn address(text: &str) -> Result<Url, String> {
    if !is_address(text) {
        return Err(format!("{text}: an address begins with http:// or https://"));
    }
    let mut url = Url::parse(text).map_err(|error| format!("{text}: not an address: {error}"))?;
    // It names a place within the picture, which servers are not told.
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], form: Form) -> Vec<(u64, Result<ListedSource, String>)> {
        let mut entries = Vec::new();
        let mut take = |number, entry| {
            entries.push((number, entry));
            ControlFlow::Continue(())
        };
        let read = if form == Form::Csv { table(text, &mut take) } else { lines(text, form, &mut take) };
        let _ = read.unwrap();
        entries
    }

    fn path(path: &str) -> ListedSource {
        ListedSource { given: Given::Path(path.into()), name: None, out: None }
    }

    #[test]
    fn lines_are_paths_addresses_or_objects() {
        let text = b"a b.jpg\r\n\n#1.jpg\nHTTPS://example.org/x.png#top\n{\"path\": \"c.jpg\", \"out\": \"web\"}\nlast";
        let entries: Vec<ListedSource> = read(text, Form::Lines).into_iter().map(|(_, entry)| entry.unwrap()).collect();
        let url = ListedSource { given: Given::Url("https://example.org/x.png".parse().unwrap()), ..path("") };
        let object = ListedSource { out: Some("web".into()), ..path("c.jpg") };
        assert_eq!(entries, [path("a b.jpg"), path("#1.jpg"), url, object, path("last")]);
    }

    #[test]
    fn names_between_nuls_may_hold_line_ends() {
        let entries = read(b"a\nb.jpg\0{x}.jpg\0", Form::Nul);
        assert_eq!(entries, [(1, Ok(path("a\nb.jpg"))), (2, Ok(path("{x}.jpg")))]);
    }

    #[test]
    fn tables_are_read_by_the_names_of_their_columns() {
        let text =
            b"id, path ,url,name,out\n1,\"a, b.jpg\",,tom,web/cats\n2,,https://example.org/x,,\n3,,,,\n4,\xfc.jpg\n";
        let entries = read(text, Form::Csv);
        let named = ListedSource { name: Some("tom".into()), out: Some("web/cats".into()), ..path("a, b.jpg") };
        assert_eq!(entries[0], (2, Ok(named)));
        assert!(matches!(&entries[1].1, Ok(ListedSource { given: Given::Url(_), name: None, .. })));
        assert_eq!(entries[2], (4, Err("names neither path nor url".into())));
        assert!(matches!(&entries[3].1, Ok(ListedSource { given: Given::Path(path), .. }) if path.to_str().is_none()));
    }

    #[test]
    fn tables_are_read_as_spreadsheets_write_them() {
        let named = ListedSource { name: Some("x y".into()), ..path("a.png") };
        for text in [
            "path;name\r\na.png;x y\r\n",
            "path\tname\na.png\tx y\n",
            "Path,Name\na.png,x y\n",
            "path, name\na.png, x y \n",
            " PATH ; \"Name\" \na.png;\"x y\"\n",
            "\u{feff}\"path\",\"name\"\n\"a.png\",\"x y\"\n",
            "\u{feff}id;note, or so;path;name\n1;;a.png;x y\n",
        ] {
            assert_eq!(read(text.as_bytes(), Form::Csv), [(2, Ok(named.clone()))], "{text}");
        }
        assert_eq!(read(b"sep=|\r\npath|name\r\na.png|x y\r\n", Form::Csv), [(3, Ok(named))]);
        let fault = read(b"path, name\na.png, \"x, y\"\n", Form::Csv).remove(0).1.unwrap_err();
        assert!(fault.contains("quotation mark"), "{fault}");
    }

    /// Notepad, PowerShell and Excel's `CSV UTF-8` put it there.
    #[test]
    fn byte_order_mark_is_no_part_of_the_first_line() {
        for (text, form) in [
            ("\u{feff}a.png\r\n", Form::Lines),
            ("\u{feff}{\"path\": \"a.png\"}\n", Form::Lines),
            ("\u{feff}{\"path\": \"a.png\"}\n", Form::Json),
            ("\u{feff}a.png\0", Form::Nul),
        ] {
            assert_eq!(read(text.as_bytes(), form), [(1, Ok(path("a.png")))], "{form:?}");
        }
        assert_eq!(read("\u{feff}path\na.png\n".as_bytes(), Form::Csv), [(2, Ok(path("a.png")))]);
        assert_eq!(read(b"x\n", Form::Lines), [(1, Ok(path("x")))], "less than a mark");
        assert_eq!(read(b"", Form::Lines), []);
        for form in [Form::Lines, Form::Json, Form::Csv] {
            let mut take = |_, _| ControlFlow::Continue(());
            let wide: &[u8] = b"\xff\xfea\0.\0p\0n\0g\0\n\0";
            let read = if form == Form::Csv { table(wide, &mut take) } else { lines(wide, form, &mut take) };
            assert!(read.unwrap_err().to_string().contains("UTF-16"), "{form:?}");
        }
    }

    #[test]
    fn wrong_lines_are_told_by_number_and_do_no_harm() {
        let long = vec![b'x'; 2 * LONGEST_LINE as usize];
        let text = [b"{\"path\": 1}\n".as_slice(), &long, b"\n\"s.jpg\"\n{\"url\": \"ftp://x\"}\n{}"].concat();
        let entries = read(&text, Form::Json);
        let numbers: Vec<u64> = entries.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert_eq!(entries[2].1, Ok(path("s.jpg")));
        assert!(entries.iter().enumerate().all(|(i, (_, entry))| i == 2 || entry.is_err()), "{entries:?}");
    }
}
