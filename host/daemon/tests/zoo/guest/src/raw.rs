//! Calls of the host as they are underneath: numbers, of which some are addresses.
//!
//! The bindings lift nothing that is not a text, a list or a handle; an attacker's module hands over whatever it likes. So
//! these are the imports themselves. A program is in hex: how many bytes of data (16 bits), the data, then calls, each a
//! byte that says which and its arguments by their kinds: an address is a byte that counts from the data, or 255 and 32
//! bits; a number is a byte, or 255 and all its bits. The host's answers go where answers belong, or to such an address.
//! Where the program ends, the calls end; where the host ends the guest, the guest ends.

use serde_json::{Value, json};

/// Runs a program; tells how many calls the guest has survived.
pub(crate) fn run(payload: &Value) -> Value {
    let text = payload.as_str().unwrap_or_default();
    let bytes: Vec<u8> =
        text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    json!(imports::calls(&bytes))
}

fn digit(letter: u8) -> u8 {
    char::from(letter).to_digit(16).unwrap_or_default() as u8
}

#[allow(unsafe_code)] // To be unsafe is what it is for.
mod imports {
    struct Program<'a> {
        rest: &'a [u8],
        data: usize,
        answers: usize,
    }

    impl Program<'_> {
        fn byte(&mut self) -> Option<u8> {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            Some(*first)
        }

        fn all<const N: usize>(&mut self) -> Option<[u8; N]> {
            let (first, rest) = self.rest.split_first_chunk::<N>()?;
            self.rest = rest;
            Some(*first)
        }

        fn address(&mut self) -> Option<i32> {
            match self.byte()? {
                255 => self.number(),
                at => Some((self.data + usize::from(at)) as i32),
            }
        }

        fn number(&mut self) -> Option<i32> {
            match self.byte()? {
                255 => self.all().map(i32::from_le_bytes),
                number => Some(i32::from(number)),
            }
        }

        fn long(&mut self) -> Option<i64> {
            match self.byte()? {
                255 => self.all().map(i64::from_le_bytes),
                number => Some(i64::from(number)),
            }
        }

        fn answer(&mut self) -> Option<i32> {
            match self.byte()? {
                255 => self.number(),
                at => Some((self.answers + usize::from(at & 0x38)) as i32),
            }
        }
    }

    macro_rules! kind {
        (A) => {
            i32
        };
        (N) => {
            i32
        };
        (L) => {
            i64
        };
        (R) => {
            i32
        };
    }

    macro_rules! read {
        ($program:ident A) => {
            $program.address()?
        };
        ($program:ident N) => {
            $program.number()?
        };
        ($program:ident L) => {
            $program.long()?
        };
        ($program:ident R) => {
            $program.answer()?
        };
    }

    macro_rules! imports {
        ($($module:literal { $($number:literal $name:ident $import:literal ($($argument:ident $kind:ident)*) $(-> $result:ty)?;)* })*) => {
            $(
                #[link(wasm_import_module = $module)]
                unsafe extern "C" {
                    $(#[link_name = $import] fn $name($($argument: kind!($kind)),*) $(-> $result)?;)*
                }
            )*

            fn one(program: &mut Program<'_>) -> Option<()> {
                match program.byte()? {
                    $($($number => {
                        $(let $argument = read!(program $kind);)*
                        // SAFETY: none. The host must bear it.
                        let _ = unsafe { $name($($argument),*) };
                    })*)*
                    _ => {}
                }
                Some(())
            }
        };
    }

    imports! {
        "hotshoe:plugin/storage@0.1.1" {
            0 storage_get "get" (a A b N r R);
            1 storage_set "set" (a A b N c A d N r R);
            2 storage_delete "delete" (a A b N r R);
            3 storage_keys "keys" (r R);
        }
        "hotshoe:plugin/report@0.1.1" {
            4 report_patch "patch" (a A b N r R);
        }
        "hotshoe:plugin/telemetry@0.1.1" {
            5 telemetry_send "send" (a A b N c A d N r R);
        }
        "hotshoe:plugin/log@0.1.1" {
            6 log_write "write" (l N a A b N c A d N);
        }
        "hotshoe:plugin/desired@0.1.1" {
            7 desired_current "current" (r R);
        }
        "hotshoe:plugin/device@0.1.1" {
            8 device_facts "facts" (r R);
            9 device_uptime "uptime" () -> i64;
            10 device_clock "clock-is-set" () -> i32;
            11 device_timestamp "timestamp" (r R);
            12 device_settings "settings" (r R);
        }
        "hotshoe:plugin/download@0.1.1" {
            13 download_resolve "resolve" (a A b N c N d A e N f N g L h N r R);
            14 download_fetch "fetch" (a A b N c N d A e N f N g L h N r R);
            15 artifact_digest "[method]artifact.digest" (s N r R);
            16 artifact_size "[method]artifact.size" (s N) -> i64;
            17 artifact_origin "[method]artifact.origin" (s N r R);
            18 artifact_read "[method]artifact.read" (s N a L b N r R);
            19 artifact_drop "[resource-drop]artifact" (s N);
            20 source_digest "[method]source.digest" (s N r R);
            21 source_size "[method]source.size" (s N r R);
            22 source_version "[method]source.version" (s N r R);
            23 source_drop "[resource-drop]source" (s N);
        }
        "hotshoe:plugin/flash@0.1.1" {
            24 flash_slots "slots" (r R);
            25 flash_groups "groups" (r R);
            26 staging_open "[static]staging.open" (a A b N c A d N r R);
            27 staging_written "[method]staging.written" (s N) -> i64;
            28 staging_append "[method]staging.append" (s N a A b N r R);
            29 staging_append_artifact "[method]staging.append-artifact" (s N t N r R);
            30 staging_receive "[method]staging.receive" (s N t N r R);
            31 staging_seal "[method]staging.seal" (s N a A b N r R);
            32 staging_drop "[resource-drop]staging" (s N);
            33 flash_activate_if_allowed "activate-if-allowed" (a A b N r R);
            34 flash_activate "activate" (a A b N r R);
            35 flash_confirm "confirm" (r R);
            36 flash_revert "revert" (r R);
        }
        "hotshoe:plugin/job@0.1.1" {
            37 job_id "[method]job.id" (s N r R);
            38 job_checkpoint "[method]job.checkpoint" (s N r R);
            39 job_save "[method]job.save" (s N a A b N c N d A e N r R);
            40 job_progress "[method]job.progress" (s N a A b N c L d N e L);
            41 job_cancelled "[method]job.cancelled" (s N) -> i32;
            42 job_drop "[resource-drop]job" (s N);
        }
    }

    /// Makes the calls of a program.
    pub(super) fn calls(bytes: &[u8]) -> u32 {
        let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return 0 };
        let (data, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
        // Room for the host's answers, and for what small numbers point to.
        let mut answers = vec![0_u64; 64];
        let mut room = data.to_vec();
        room.resize(room.len().max(512), 0);
        let mut program =
            Program { rest, data: room.as_mut_ptr() as usize, answers: answers.as_mut_ptr() as usize };
        let mut count = 0;
        while count < 64 && one(&mut program).is_some() {
            count += 1;
        }
        count
    }
}
