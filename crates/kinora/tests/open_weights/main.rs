//! Open weights as people have them: whatever the files, the same weights give the same picture.

mod converting;
mod given;
mod kit;
mod layouts;
mod loras;
