//! What an owner keeps beside its archive.

use std::io;

use bytes::Bytes;

use super::format::{point_name, u32_at};
use super::{Archive, read_whole};

impl Archive {
    /// Keeps what the owner wants to have at a start; a crash leaves this one or the one before.
    ///
    /// # Errors
    /// When the disk cannot.
    pub fn set_point(&self, point: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock();
        let name = point_name(self.owner);
        let new = format!("{name}.new");
        let file = self.files.create(&new, 0)?;
        let mut bytes = crc32c::crc32c_append(self.seed(0), point).to_le_bytes().to_vec();
        bytes.extend_from_slice(point);
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.files.rename(&new, &name)?;
        self.files.sync_names()
    }

    /// What was kept last; `None` where there is nothing, or it is damaged: the owner does without it.
    pub fn point(&self) -> Option<Bytes> {
        let file = self.files.open(&point_name(self.owner)).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        read_whole(&*file, &mut bytes, 0).ok()?;
        let point = Bytes::from(bytes);
        let is_whole = point.len() >= 4 && u32_at(&point, 0) == crc32c::crc32c_append(self.seed(0), &point[4..]);
        is_whole.then(|| point.slice(4..))
    }
}
