//! How a kernel enum becomes a Python one.
//!
//! Members are singletons, so `is`, `==`, hashing, pickling and copying all behave as those of
//! `enum.Enum`; `==` also takes the member's int. Code that hands an enum to Python uses
//! `member`, which returns the singleton.

/// Defines a Python enum that mirrors a kernel enum of the same variants.
///
/// The tokens in the last braces are more methods for the Python class.
macro_rules! mirror_enum {
    (
        $(#[$doc:meta])*
        $python:ident named $name:literal mirrors $kernel:ty {
            $($variant:ident as $member:literal = $value:literal),* $(,)?
        }
        methods { $($methods:tt)* }
    ) => {
        $(#[$doc])*
        #[pyo3::pyclass(name = $name, module = "slipstream._core", eq, eq_int, frozen, from_py_object)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $python {
            $(
                #[doc = concat!("`", $member, "`.")]
                #[pyo3(name = $member)]
                $variant = $value,
            )*
        }

        impl $python {
            /// Returns the kernel's value.
            #[must_use]
            pub const fn kernel(self) -> $kernel {
                match self {
                    $(Self::$variant => <$kernel>::$variant,)*
                }
            }

            /// Returns the Python member of a kernel value: always the same object.
            #[allow(dead_code, reason = "some enums are only handed in")]
            pub fn member(
                py: pyo3::Python<'_>,
                kernel: $kernel,
            ) -> pyo3::PyResult<pyo3::Py<Self>> {
                static MEMBERS: pyo3::sync::PyOnceLock<Vec<($kernel, pyo3::Py<$python>)>> =
                    pyo3::sync::PyOnceLock::new();
                use pyo3::types::PyAnyMethods;
                let members = MEMBERS.get_or_try_init(py, || {
                    let class = py.get_type::<Self>();
                    let pairs = [$((<$kernel>::$variant, $member)),*];
                    let found = pairs.into_iter().map(|(kernel, name)| {
                        let member = class.getattr(name)?.cast_into::<Self>()?;
                        Ok((kernel, member.unbind()))
                    });
                    found.collect::<pyo3::PyResult<Vec<_>>>()
                })?;
                let found = members.iter().find(|(value, _)| *value == kernel);
                found.map(|(_, member)| member.clone_ref(py)).ok_or_else(|| {
                    pyo3::exceptions::PySystemError::new_err(concat!("no member of ", $name))
                })
            }

            /// Adds the class to the module.
            pub fn register(
                module: &pyo3::Bound<'_, pyo3::types::PyModule>,
            ) -> pyo3::PyResult<()> {
                use pyo3::types::{PyAnyMethods, PyDictMethods, PyModuleMethods};
                let class = module.py().get_type::<Self>();
                let members = pyo3::types::PyDict::new(module.py());
                for name in [$($member),*] {
                    members.set_item(name, class.getattr(name)?)?;
                }
                let proxy = pyo3::types::PyMappingProxy::new(module.py(), members.as_mapping());
                class.setattr("__members__", proxy)?;
                module.add_class::<Self>()
            }
        }

        #[pyo3::pymethods]
        #[allow(clippy::trivially_copy_pass_by_ref, reason = "a Python method borrows its object")]
        impl $python {
            /// The member's name.
            #[getter]
            const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant => $member,)*
                }
            }

            /// The member's int.
            #[getter]
            const fn value(&self) -> isize {
                match self {
                    $(Self::$variant => $value,)*
                }
            }

            const fn __hash__(&self) -> isize {
                self.value()
            }

            fn __reduce__<'py>(
                &self,
                py: pyo3::Python<'py>,
            ) -> pyo3::PyResult<(
                pyo3::Bound<'py, pyo3::PyAny>,
                (pyo3::Bound<'py, pyo3::types::PyType>, &'static str),
            )> {
                use pyo3::types::PyAnyMethods;
                let getattr = py.import("builtins")?.getattr("getattr")?;
                Ok((getattr, (py.get_type::<Self>(), self.name())))
            }

            $($methods)*
        }
    };
}

pub(crate) use mirror_enum;
