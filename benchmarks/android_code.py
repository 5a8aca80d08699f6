"""Compile the Kotlin code of docs/android.md, and hold what it does to a text against BERT's own normaliser.

The Android libraries come from no package registry, so the code is compiled against declarations (`DECLARED`) of the
classes and methods that it calls, with the signatures of their public sources: TensorFlow Lite's `Interpreter`,
MediaPipe Tasks' `TextClassifier` and Android's `Context`. What only a phone can tell, this does not. `normalized`,
which needs none of them, is run in a Java virtual machine on every character of Unicode and on the texts of a file:
MediaPipe lower-cases ASCII and keeps accents, so that the text it is given must come out of BERT's normaliser without
those two steps as the raw text does with them. Characters that are newer than the tables of `tokenizers` (Unicode 8) or
than Java's are where the two part.

Needs `java`, and a jar that holds Kotlin's compiler and standard library, such as that of the PyPI package
kotlin-jupyter-kernel:
    pip download --no-deps kotlin-jupyter-kernel && unzip -j kotlin_jupyter_kernel-*.whl '*-all.jar'

Example:
    python benchmarks/android_code.py docs/android.md --compiler kotlin-jupyter-kernel-*-all.jar --texts reviews.txt
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

from report import machine_facts, print_table, write_json
from tokenizers.normalizers import BertNormalizer

# A file each, in Java, so that nullability and types are what the libraries' are to who calls them from Kotlin.
DECLARED = """
package android.content;
public abstract class Context { public abstract android.content.res.AssetManager getAssets(); }

package android.content.res;
public abstract class AssetManager implements AutoCloseable {
    public abstract AssetFileDescriptor openFd(String fileName) throws java.io.IOException;
}

package android.content.res;
public abstract class AssetFileDescriptor implements java.io.Closeable {
    public abstract java.io.FileDescriptor getFileDescriptor();
    public abstract long getStartOffset();
    public abstract long getDeclaredLength();
}

package org.tensorflow.lite;
public final class Interpreter implements AutoCloseable {
    public static class Options { public native Options setNumThreads(int numThreads); }
    public Interpreter(java.nio.ByteBuffer byteBuffer, Options options) {}
    public native String[] getSignatureInputs(String signatureKey);
    public native void runSignature(
        java.util.Map<String, Object> inputs, java.util.Map<String, Object> outputs, String signatureKey);
    public native void close();
}

package com.google.mediapipe.tasks.core;
public abstract class BaseOptions {
    public static native Builder builder();
    public abstract static class Builder {
        public abstract Builder setModelAssetPath(String value);
        public final native BaseOptions build();
    }
}

package com.google.mediapipe.tasks.text.textclassifier;
import com.google.mediapipe.tasks.core.BaseOptions;
public final class TextClassifier implements AutoCloseable {
    public static native TextClassifier createFromOptions(android.content.Context c, TextClassifierOptions options);
    public native TextClassifierResult classify(String inputText);
    public native void close();
    public abstract static class TextClassifierOptions {
        public static native Builder builder();
        public abstract static class Builder {
            public abstract Builder setBaseOptions(BaseOptions value);
            public abstract TextClassifierOptions build();
        }
    }
}

package com.google.mediapipe.tasks.text.textclassifier;
import com.google.mediapipe.tasks.components.containers.ClassificationResult;
public abstract class TextClassifierResult { public abstract ClassificationResult classificationResult(); }

package com.google.mediapipe.tasks.components.containers;
public abstract class ClassificationResult { public abstract java.util.List<Classifications> classifications(); }

package com.google.mediapipe.tasks.components.containers;
public abstract class Classifications { public abstract java.util.List<Category> categories(); }

package com.google.mediapipe.tasks.components.containers;
public abstract class Category {
    public abstract float score();
    public abstract String categoryName();
}
"""

MAIN = """
fun main() {
    val letters = "0123456789abcdef"
    generateSequence(::readLine).forEach { line ->
        val text = String(line.chunked(4).map { it.toInt(16).toChar() }.toCharArray())
        println(normalized(text).map { c -> (12 downTo 0 step 4).map { letters[(c.code shr it) and 15] } }
            .flatten().joinToString(""))
    }
}
"""  # texts as the hexadecimal digits of their UTF-16, a line each: no terminal's encoding comes between


def kotlin_sources(document: Path) -> list[str]:
    """The code blocks of a Markdown document that are whole Kotlin files."""
    blocks = re.findall(r"^```kotlin\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    found = [block for block in blocks if block.startswith("import ")]
    if not found:
        raise SystemExit(f"error: {document} holds no Kotlin code that begins with an import")
    return found


def compile_sources(sources: list[str], compiler: Path, folder: Path) -> Path:
    """A folder of classes; ends with the compiler's own words where there is an error or a warning."""
    for declaration in DECLARED.strip().split("\n\n"):
        package, name = re.search(r"package (.*?);.*?class (\w+)", declaration, re.DOTALL).groups()
        path = folder / "declared" / package.replace(".", "/") / f"{name}.java"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(declaration, encoding="utf-8")
    files = {f"Source{index}.kt": source for index, source in enumerate(sources)} | {"Main.kt": MAIN}
    for file, source in files.items():
        (folder / file).write_text(source, encoding="utf-8")
    options = ["-no-stdlib", "-no-reflect", "-Werror", "-classpath", compiler, "-d", folder / "classes"]
    command = ["java", "-cp", compiler, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", *options]
    read = [folder / "declared", *(folder / file for file in files)]
    done = subprocess.run([*command, *read], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: the code does not compile:\n{done.stderr}")
    return folder / "classes"


def normalized(texts: list[str], classes: Path, compiler: Path) -> list[str]:
    """What the Kotlin function makes of each text."""
    lines = "".join(text.encode("utf-16-be", "surrogatepass").hex() + "\n" for text in texts)
    command = ["java", "-cp", f"{classes}:{compiler}", "MainKt"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return [bytes.fromhex(line).decode("utf-16-be", "surrogatepass") for line in done.stdout.splitlines()]


def differing(texts: list[str], classes: Path, compiler: Path) -> list[str]:
    """The texts that BERT would read otherwise, were they normalised by the Kotlin function."""
    raw, ready = BertNormalizer(), BertNormalizer(lowercase=False, strip_accents=False)
    found = zip(texts, normalized(texts, classes, compiler), strict=True)
    return [text for text, made in found if raw.normalize_str(text) != ready.normalize_str(ascii_lower(made))]


def ascii_lower(text: str) -> str:
    """As MediaPipe does it itself."""
    return re.sub("[A-Z]", lambda match: match[0].lower(), text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", type=Path)
    parser.add_argument("--compiler", type=Path, required=True, metavar="JAR")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="a text a line")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    compiler = options.compiler.resolve()
    if shutil.which("java") is None:
        raise SystemExit("error: there is no java here, which runs Kotlin's compiler and what it compiles")
    for path in filter(None, (options.document, compiler, options.texts)):
        if not path.is_file():
            raise SystemExit(f"error: {path}: no such file")
    sets = {"characters": [f"a{chr(c)}b {chr(c)}" for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]}
    if options.texts:
        sets["texts"] = options.texts.read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        classes = compile_sources(sources := kotlin_sources(options.document), compiler, Path(folder))
        others = {name: differing(texts, classes, compiler) for name, texts in sets.items()}
    rows = [[name, str(len(texts)), str(len(others[name]))] for name, texts in sets.items()]
    print_table(
        f"{len(sources)} files compile; what `normalized` makes of", ["", "number", "BERT reads otherwise"], rows
    )
    kinds = Counter(unicodedata.category(text[1]) for text in others["characters"])
    print("categories of the characters:", dict(kinds), *others["characters"][:5])
    if options.json:
        figures = {name: {"number": len(texts), "differing": others[name]} for name, texts in sets.items()}
        write_json(options.json, {"machine": machine_facts(["tokenizers"]), "sets": figures})


if __name__ == "__main__":
    main()
