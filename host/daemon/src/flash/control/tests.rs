use std::sync::{Arc, Mutex};

use super::*;

/// A boot loader's memory: what a reader sees, what a power cut leaves, and how often the disk fails to flush.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<(BootRecord, BootRecord, u32)>>);

impl Disk {
    fn after_a_cut(&self) -> BootRecord {
        self.0.lock().unwrap().1.clone()
    }

    fn fail(&self, times: u32) {
        self.0.lock().unwrap().2 = times;
    }
}

impl BootControl for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn settle(&self) -> Result<(), FlashError> {
        Ok(())
    }

    fn read(&self) -> Result<Memory, FlashError> {
        Ok(Memory::Record(self.0.lock().unwrap().0.clone()))
    }

    fn write(&mut self, record: &BootRecord) -> Result<(), FlashError> {
        let mut disk = self.0.lock().unwrap();
        disk.0 = record.clone();
        if disk.2 > 0 {
            disk.2 -= 1;
            return Err(FlashError::io("flush")(std::io::Error::other("the disk is full")));
        }
        disk.1 = record.clone();
        Ok(())
    }
}

#[test]
fn what_could_not_be_flushed_is_written_again_before_anybody_relies_on_it() {
    let armed = BootRecord::fresh("a").after(Event::Activate("b")).unwrap();
    let trial = armed.after(Event::Boot).unwrap();
    let disk = Disk(Arc::new(Mutex::new((trial.clone(), trial, 0))));
    let mut boot = Boot::new(Box::new(disk.clone()), None, "a");

    disk.fail(2);
    boot.apply(Event::Confirm).unwrap_err();
    assert_eq!(disk.after_a_cut().good, "a");
    boot.record().unwrap_err();
    let record = boot.record().unwrap();
    assert_eq!(record.good, "b", "seen before, and true only now");
    assert_eq!(disk.after_a_cut(), record);
}
